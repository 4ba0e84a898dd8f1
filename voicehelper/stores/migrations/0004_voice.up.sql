-- Voice sessions: what a call needs to go on in another process, and the journal of what happened in it.

CREATE TABLE voice_sessions (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    token_hash bytea NOT NULL,                                 -- SHA-256 of the resume token's secret
    epoch integer NOT NULL DEFAULT 1,                          -- counts who held it; only the last may write
    options jsonb NOT NULL,
    snapshot jsonb NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    touched_at timestamptz NOT NULL DEFAULT now(),             -- its holder lived
    ended_at timestamptz,
    reason text NOT NULL DEFAULT ''
);
CREATE INDEX voice_sessions_user ON voice_sessions (tenant_id, user_id) WHERE ended_at IS NULL;
CREATE INDEX voice_sessions_running ON voice_sessions (touched_at) WHERE ended_at IS NULL;
CREATE INDEX voice_sessions_ended ON voice_sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX voice_sessions_conversation ON voice_sessions (conversation_id);

-- Entries in the order of `seq`, the number of a row's first one.
CREATE TABLE voice_journal (
    session_id uuid NOT NULL REFERENCES voice_sessions (id) ON DELETE CASCADE,
    seq integer NOT NULL,
    tenant_id uuid NOT NULL,
    entries jsonb NOT NULL,
    PRIMARY KEY (session_id, seq)
);

-- The second wall (0003).
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['voice_sessions', 'voice_journal'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own_rows ON %I TO voicehelper_tenant'
            ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', name);
        EXECUTE format('CREATE POLICY all_rows ON %I TO voicehelper_system USING (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO voicehelper_tenant, voicehelper_system', name);
    END LOOP;
END $$;
