-- The catalogue of models and their prices. tenant_id null: the platform's, which every tenant sees and none can change.
CREATE TABLE models (
    id uuid PRIMARY KEY,
    tenant_id uuid REFERENCES tenants (id),
    name text NOT NULL,                                        -- what requests call it
    kind text NOT NULL DEFAULT 'chat' CHECK (kind IN ('chat', 'embedding', 'rerank')),
    provider text NOT NULL,
    remote text NOT NULL DEFAULT '',                           -- the provider's name of it; empty: `name`
    base_url text NOT NULL DEFAULT '',                         -- empty: the provider's own
    api_key bytea,                                             -- sealed with the master key, bound to `id`
    capabilities text[] NOT NULL DEFAULT '{}',
    context_tokens integer NOT NULL CHECK (context_tokens > 0),
    max_output_tokens integer NOT NULL DEFAULT 0 CHECK (max_output_tokens >= 0),
    price_prompt bigint NOT NULL DEFAULT 0 CHECK (price_prompt >= 0),          -- micro-dollars per million tokens
    price_completion bigint NOT NULL DEFAULT 0 CHECK (price_completion >= 0),
    price_cached bigint CHECK (price_cached >= 0),             -- null: as price_prompt
    price_call bigint NOT NULL DEFAULT 0 CHECK (price_call >= 0),              -- micro-dollars, added to each call
    requests_per_minute integer NOT NULL DEFAULT 0 CHECK (requests_per_minute >= 0),
    tokens_per_minute integer NOT NULL DEFAULT 0 CHECK (tokens_per_minute >= 0),
    parallel integer NOT NULL DEFAULT 0 CHECK (parallel >= 0),
    quality smallint NOT NULL DEFAULT 3 CHECK (quality BETWEEN 1 AND 5),
    speed smallint NOT NULL DEFAULT 3 CHECK (speed BETWEEN 1 AND 5),
    fallbacks text[] NOT NULL DEFAULT '{}',
    options jsonb NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX models_name ON models (tenant_id, name) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX models_platform_name ON models (name) WHERE tenant_id IS NULL;
CREATE INDEX models_tenant ON models (tenant_id, id DESC);

-- The second wall (0003): policies are alternatives, so a tenant sees its own and the platform's, and writes its own.
ALTER TABLE models ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON models TO voicehelper_tenant
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY platform_rows ON models FOR SELECT TO voicehelper_tenant USING (tenant_id IS NULL);
CREATE POLICY all_rows ON models TO voicehelper_system USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON models TO voicehelper_tenant, voicehelper_system;
