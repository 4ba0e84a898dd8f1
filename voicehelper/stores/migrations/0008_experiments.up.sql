-- Experiments on models: who gets which variant, and sums of what came of it. (A row per call: the usage ledger.)

CREATE TABLE experiments (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    target_kind text NOT NULL CHECK (target_kind IN ('model', 'feature', 'all')),
    target text NOT NULL DEFAULT '',
    variants jsonb NOT NULL,                                   -- in order, the control first
    weights jsonb NOT NULL,                                    -- all there ever were, oldest first
    salt text NOT NULL,
    primary_metric text NOT NULL,
    goal text NOT NULL CHECK (goal IN ('more', 'less')),
    guard_rails jsonb NOT NULL DEFAULT '[]',
    status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'running', 'stopped')),
    reason text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,
    started_at timestamptz,
    stopped_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);
-- Of two that run on the same calls, nobody could say which one applies.
CREATE UNIQUE INDEX experiments_running ON experiments (tenant_id, target_kind, target) WHERE status = 'running';

-- `subject` is a hash of the experiment, its salt and the user. `variant` is a place among the experiment's variants.
CREATE TABLE experiment_assignments (
    experiment_id uuid NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    subject bytea NOT NULL,
    tenant_id uuid NOT NULL,
    variant smallint NOT NULL,
    revision integer NOT NULL,                                 -- of the weights by which it was drawn
    first_variant smallint NOT NULL,
    first_revision integer NOT NULL,
    assigned_at timestamptz NOT NULL,
    until timestamptz NOT NULL,
    exposures integer NOT NULL DEFAULT 0,                      -- days (and processes) on which there was a first call
    PRIMARY KEY (experiment_id, subject)
);

-- Sums per metric and bucket of users (models/experiments/comparison.py says why).
CREATE TABLE experiment_tallies (
    experiment_id uuid NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    variant text NOT NULL,
    metric text NOT NULL,
    bucket smallint NOT NULL,
    tenant_id uuid NOT NULL,
    n bigint NOT NULL,
    total double precision NOT NULL,
    squares double precision NOT NULL,
    PRIMARY KEY (experiment_id, variant, metric, bucket)
);

-- How latencies are distributed: bin b holds values from 1.05^(b-1) to 1.05^b milliseconds.
CREATE TABLE experiment_bins (
    experiment_id uuid NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    variant text NOT NULL,
    metric text NOT NULL,
    bin smallint NOT NULL,
    tenant_id uuid NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (experiment_id, variant, metric, bin)
);

-- Batches that were added up: none is twice. They are of many tenants.
CREATE TABLE experiment_batches (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX experiment_batches_at ON experiment_batches (at);

-- The second wall (0003).
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['experiments', 'experiment_assignments', 'experiment_tallies', 'experiment_bins'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own_rows ON %I TO voicehelper_tenant'
            ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', name);
        EXECUTE format('CREATE POLICY all_rows ON %I TO voicehelper_system USING (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO voicehelper_tenant, voicehelper_system', name);
    END LOOP;
END $$;
ALTER TABLE experiment_batches ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON experiment_batches TO voicehelper_system USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON experiment_batches TO voicehelper_system;
