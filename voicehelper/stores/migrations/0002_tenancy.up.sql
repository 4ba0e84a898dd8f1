-- Identity, audit, idempotency, resumable answers, dead letters.

ALTER TABLE tenants
    ADD COLUMN disabled boolean NOT NULL DEFAULT false,
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

-- A visitor (anonymous end customer) is a user without address and password.
ALTER TABLE users
    ALTER COLUMN email DROP NOT NULL,
    ALTER COLUMN password_hash DROP NOT NULL,
    ADD COLUMN kind text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'visitor')),
    ADD COLUMN name text NOT NULL DEFAULT '',
    ADD COLUMN platform boolean NOT NULL DEFAULT false,        -- may administer tenants
    ADD COLUMN password_changed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN erased_at timestamptz;
UPDATE users SET role = 'owner', platform = true WHERE role = 'admin';

-- Roles of a tenant beside the built-in ones (identity/permissions.py).
CREATE TABLE roles (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    permissions text[] NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);

-- A login, until logout or expiry: the family of its refresh tokens, of which only the newest is good.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    reason text NOT NULL DEFAULT ''
);
CREATE INDEX sessions_user ON sessions (tenant_id, user_id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_expired ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,                              -- SHA-256
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

-- Keys that sign access tokens. The newest whose `signs_from` has come signs; each verifies until `verifies_until`.
CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    private_key bytea NOT NULL,                                -- PEM, encrypted with the master key
    public_key text NOT NULL,                                  -- PEM
    created_at timestamptz NOT NULL DEFAULT now(),
    signs_from timestamptz NOT NULL DEFAULT now(),
    verifies_until timestamptz
);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name text NOT NULL,
    secret_hash bytea NOT NULL,                                -- SHA-256 of 32 random bytes
    permissions text[] NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id DESC);

-- Failed logins by account and by address; `key` is a keyed hash, made for accounts that do not exist as well.
CREATE TABLE login_failures (
    key bytea PRIMARY KEY,
    failures integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    locked_until timestamptz
);

-- What replicas must forget: revoked sessions, changed users, keys, roles, tenants. `seq` is given as the last act of a
-- transaction, under a lock, so that it follows the order of commits: whoever has read up to n will see nothing new
-- below n. (Given by INSERT, it would follow the order of the inserts, or hold the lock all through the transaction.)
CREATE SEQUENCE identity_changes_seq;
CREATE TABLE identity_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq bigint UNIQUE,
    tenant_id uuid,
    kind text NOT NULL CHECK (kind IN ('session', 'user', 'key', 'role', 'tenant', 'signing_key')),
    subject text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL                            -- no token from before `at` is valid beyond it
);
CREATE INDEX identity_changes_expired ON identity_changes (expires_at);
-- As the owner: it runs at commit, under whatever role and tenant the last statement had.
CREATE FUNCTION identity_changes_ordered() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('voicehelper.identity_changes'));
    UPDATE identity_changes SET seq = nextval('identity_changes_seq') WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER identity_changes_ordered AFTER INSERT ON identity_changes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION identity_changes_ordered();

CREATE TABLE audit_logs (
    id uuid PRIMARY KEY,
    tenant_id uuid,                                            -- null: a failed login of nobody we know
    at timestamptz NOT NULL DEFAULT now(),
    actor_kind text NOT NULL,
    actor_id uuid,
    action text NOT NULL,
    resource text NOT NULL DEFAULT '',
    resource_id text NOT NULL DEFAULT '',
    outcome text NOT NULL,
    address text NOT NULL DEFAULT '',                          -- network part only
    request_id text NOT NULL DEFAULT '',
    trace_id text NOT NULL DEFAULT '',
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_logs_tenant ON audit_logs (tenant_id, id DESC);
CREATE FUNCTION audit_logs_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_logs can only be added to';
END $$;
CREATE TRIGGER audit_logs_final BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION audit_logs_are_final();
CREATE TRIGGER audit_logs_not_truncated BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_are_final();

-- One row per write that named an Idempotency-Key. `body` is encrypted: it may hold a secret shown only once.
CREATE TABLE idempotency_keys (
    tenant_id uuid NOT NULL,
    actor_id uuid NOT NULL,
    key_hash bytea NOT NULL,                                   -- SHA-256 of the key
    fingerprint bytea NOT NULL,                                -- of method, path and body, keyed with the key
    locked_until timestamptz,                                  -- set while the first request runs
    status integer,                                            -- set with the response
    headers jsonb NOT NULL DEFAULT '{}',
    body bytea,
    message_id uuid,                                           -- the answer, where the write was a question
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    PRIMARY KEY (tenant_id, actor_id, key_hash)
);
CREATE INDEX idempotency_keys_expired ON idempotency_keys (expires_at);

ALTER TABLE conversations
    ADD COLUMN archived_at timestamptz,
    ADD COLUMN summary text NOT NULL DEFAULT '',               -- of the turns up to `summary_seq`
    ADD COLUMN summary_seq integer NOT NULL DEFAULT 0;
DROP INDEX conversations_user;
CREATE INDEX conversations_user ON conversations (tenant_id, user_id, updated_at DESC, id DESC);
CREATE INDEX conversations_tenant ON conversations (tenant_id, updated_at DESC, id DESC);

-- `deadline` is the lease of the process that writes the answer (`run_id`); `progress_deadline` the saga's: an answer
-- from which nothing came until then is compensated (failed) by whichever replica sees it first.
ALTER TABLE messages
    ADD COLUMN attachments jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN run_id uuid,
    ADD COLUMN attempt integer NOT NULL DEFAULT 1,
    ADD COLUMN progress_deadline timestamptz,
    ADD COLUMN stop_requested boolean NOT NULL DEFAULT false,
    ADD COLUMN trail jsonb,                                    -- how the answer was streamed: replays with the same ids
    ADD COLUMN alternatives jsonb NOT NULL DEFAULT '[]';       -- answers that were regenerated, oldest first

CREATE TABLE feedback (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    message_id uuid NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id),
    rating text NOT NULL CHECK (rating IN ('up', 'down')),
    comment text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (message_id, user_id)
);
CREATE INDEX feedback_user ON feedback (tenant_id, user_id);

ALTER TABLE outbox
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN key text NOT NULL DEFAULT '',                   -- events of one key stay in order
    ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY;        -- of insertion: the order of publishing
DROP INDEX outbox_unpublished;
CREATE INDEX outbox_unpublished ON outbox (seq) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at);

-- Events a consumer group could not handle, after all its attempts.
CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    version integer NOT NULL,
    key text NOT NULL DEFAULT '',
    payload jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    attempts integer NOT NULL,
    error text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    replay_requested_at timestamptz,
    replayed_at timestamptz,                                   -- handled after all
    UNIQUE (consumer, event_id)
);
CREATE INDEX dead_letters_tenant ON dead_letters (tenant_id, id DESC);
CREATE INDEX dead_letters_to_replay ON dead_letters (consumer, id) WHERE replay_requested_at IS NOT NULL;

-- What a consumer group has handled, written in the transaction that handles it: a repeated delivery changes nothing.
CREATE TABLE processed_events (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX processed_events_old ON processed_events (at);

-- Attempts at events that did not succeed at once, where the bus itself cannot count them (Kafka).
CREATE TABLE event_attempts (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    attempts integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
