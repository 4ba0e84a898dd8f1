DROP TABLE outbox, messages, conversations, object_deletions, keyword_followers, keyword_changes, chunks, document_versions, documents, knowledge_bases,
    users, tenants;
