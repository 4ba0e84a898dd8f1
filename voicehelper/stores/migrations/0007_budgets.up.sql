-- What may be spent, what was, and which limits were passed. Money is in micro-dollars.

-- A limit of the tenant, of one user or key, or (subject_id null) of every user or key that has none of its own.
CREATE TABLE budgets (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    kind text NOT NULL CHECK (kind IN ('tenant', 'user', 'key')),
    subject_id uuid,
    hard_micros bigint CHECK (hard_micros BETWEEN 0 AND 1000000000000000),     -- of a calendar month, UTC
    soft_micros bigint CHECK (soft_micros BETWEEN 0 AND 1000000000000000),
    tokens_per_minute bigint CHECK (tokens_per_minute BETWEEN 1 AND 1000000000000),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (kind <> 'tenant' OR subject_id IS NULL),
    CHECK (soft_micros <= hard_micros),
    CHECK (num_nonnulls(hard_micros, soft_micros, tokens_per_minute) > 0)
);
CREATE UNIQUE INDEX budgets_subject
    ON budgets (tenant_id, kind, coalesce(subject_id, '00000000-0000-0000-0000-000000000000'));

-- One row a call of a model. `at` is when it was reserved; its month is the month it counts in.
CREATE TABLE usage_ledger (
    id uuid PRIMARY KEY,                                       -- of the reservation
    tenant_id uuid NOT NULL,
    user_id uuid,                                              -- null: nobody's, or erased
    key_id uuid,
    at timestamptz NOT NULL,
    feature text NOT NULL DEFAULT '',
    model text NOT NULL,
    provider text NOT NULL,
    prompt_tokens bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens bigint NOT NULL DEFAULT 0,
    reasoning_tokens bigint NOT NULL DEFAULT 0,
    cost_micros bigint NOT NULL CHECK (cost_micros >= 0),
    reserved_micros bigint NOT NULL DEFAULT 0,
    outcome text NOT NULL,
    estimated boolean NOT NULL DEFAULT false,
    experiment text NOT NULL DEFAULT '',
    variant text NOT NULL DEFAULT '',
    ms double precision NOT NULL DEFAULT 0,
    first_ms double precision,
    counted boolean NOT NULL DEFAULT true                      -- false: the counters do not know of it yet
);
CREATE INDEX usage_ledger_at ON usage_ledger (tenant_id, at);
CREATE INDEX usage_ledger_user ON usage_ledger (tenant_id, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX usage_ledger_uncounted ON usage_ledger (tenant_id) WHERE NOT counted;

-- A limit was passed for the first time in a month: the event about it went out once. A new limit passes anew.
CREATE TABLE budget_notices (
    tenant_id uuid NOT NULL,
    month text NOT NULL,                                       -- 202611
    subject text NOT NULL,                                     -- t, u:{user}, k:{key}
    level text NOT NULL CHECK (level IN ('soft', 'hard')),
    limit_micros bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, month, subject, level, limit_micros)
);

-- The second wall (0003). Nobody takes from the ledger; what changes in it are `counted`, and names of the erased.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['budgets', 'usage_ledger', 'budget_notices'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own_rows ON %I TO voicehelper_tenant'
            ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', name);
        EXECUTE format('CREATE POLICY all_rows ON %I TO voicehelper_system USING (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO voicehelper_tenant, voicehelper_system', name);
    END LOOP;
END $$;
REVOKE UPDATE, DELETE ON usage_ledger FROM voicehelper_tenant, voicehelper_system;
GRANT UPDATE (user_id, key_id, counted) ON usage_ledger TO voicehelper_system;
