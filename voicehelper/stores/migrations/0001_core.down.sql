DROP TABLE outbox, messages, conversations, keyword_changes, chunks, document_versions, documents, knowledge_bases,
    users, tenants;
