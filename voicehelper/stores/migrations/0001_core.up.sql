-- Tenants, users, knowledge, conversations, outbox. Every row of a tenant carries tenant_id.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    role text NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz
);
CREATE INDEX users_tenant ON users (tenant_id);

CREATE TABLE knowledge_bases (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);

-- A document is a name within a knowledge base; its content is a version. Searchers see `live_version_id` only.
CREATE TABLE documents (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    kb_id uuid NOT NULL REFERENCES knowledge_bases (id) ON DELETE CASCADE,
    name text NOT NULL,
    live_version_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kb_id, name)
);
CREATE INDEX documents_tenant ON documents (tenant_id, kb_id);

CREATE TABLE document_versions (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    kb_id uuid NOT NULL REFERENCES knowledge_bases (id) ON DELETE CASCADE,
    document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    object_key text NOT NULL,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'processing', 'indexed', 'failed', 'superseded')),
    reason text NOT NULL DEFAULT '',          -- stable word for a failure
    error text NOT NULL DEFAULT '',           -- one line for people
    chunk_count integer NOT NULL DEFAULT 0,
    page_count integer,
    attempts integer NOT NULL DEFAULT 0,
    keyword_seq bigint,                       -- set with the chunks; indexed once the keyword index covers it
    lease_owner text,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX document_versions_queue ON document_versions (attempts, created_at)
    WHERE status IN ('pending', 'processing') AND keyword_seq IS NULL;
CREATE INDEX document_versions_stored ON document_versions (keyword_seq) WHERE status = 'processing';
CREATE INDEX document_versions_kb ON document_versions (kb_id);
CREATE INDEX document_versions_document ON document_versions (document_id, created_at DESC);

-- `embedding` has no fixed dimension: each vector space gets a partial HNSW index of its own (see stores).
CREATE TABLE chunks (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    kb_id uuid NOT NULL,
    document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    version_id uuid NOT NULL REFERENCES document_versions (id) ON DELETE CASCADE,
    position integer NOT NULL,
    page integer,
    heading text[] NOT NULL DEFAULT '{}',
    char_start integer NOT NULL,
    char_end integer NOT NULL,
    tokens integer NOT NULL,
    text text NOT NULL,
    embedding_model text NOT NULL,
    embedding halfvec NOT NULL,
    UNIQUE (version_id, position)
);
CREATE INDEX chunks_document ON chunks (document_id);
CREATE INDEX chunks_kb ON chunks (tenant_id, kb_id);

-- What the keyword indexes have yet to apply. Writers take an advisory lock before they insert, so that `seq` follows
-- the order of commits (see stores/postgres/keyword_feed.py).
CREATE TABLE keyword_changes (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL,
    kb_id uuid NOT NULL,
    document_id uuid NOT NULL
);

-- How far each keyword index has come. One that was not seen lately does not hold others up.
CREATE TABLE keyword_followers (
    name text PRIMARY KEY,
    applied_seq bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- Objects to delete. An upload registers its key here for later before it writes, and takes it back when it commits.
CREATE TABLE object_deletions (
    object_key text PRIMARY KEY,
    not_before timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX object_deletions_due ON object_deletions (not_before);

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    user_id uuid NOT NULL REFERENCES users (id),
    title text NOT NULL DEFAULT '',
    kb_ids uuid[] NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX conversations_user ON conversations (tenant_id, user_id, updated_at DESC);

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    seq integer NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'assistant')),
    status text NOT NULL CHECK (status IN ('streaming', 'completed', 'failed', 'stopped')),
    content text NOT NULL DEFAULT '',
    citations jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    deadline timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    UNIQUE (conversation_id, seq)
);
CREATE INDEX messages_unfinished ON messages (deadline) WHERE status = 'streaming';

CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    type text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX outbox_unpublished ON outbox (created_at) WHERE published_at IS NULL;
