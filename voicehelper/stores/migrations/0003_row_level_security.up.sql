-- The second wall between tenants, behind the `tenant_id` of every query. Statements run under one of two roles that own
-- nothing and bypass nothing (stores/postgres/tenancy.py): `voicehelper_tenant` sees the rows of the tenant named by the
-- setting `app.tenant_id`, and none without it; `voicehelper_system` sees all rows. Neither can change a table.

-- Roles belong to the server, not to this database: others of it may be making them at this moment. Where the login user
-- may not create roles, somebody who may has made them before and granted them (docs/deployment.md).
DO $$
DECLARE
    wanted text;
    privilege text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['voicehelper_tenant', 'voicehelper_system'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, privilege) THEN
            BEGIN
                EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
            EXCEPTION WHEN unique_violation OR internal_error THEN
                NULL;  -- "tuple concurrently updated": the other migration granted it
            END;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = wanted AND (rolbypassrls OR rolsuper)) THEN
            RAISE EXCEPTION 'The role % must not bypass row-level security', wanted;
        END IF;
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO voicehelper_tenant, voicehelper_system', current_schema());
END $$;

-- Every table with a tenant_id, by one rule. (The subquery is evaluated once a statement, not once a row.)
DO $$
DECLARE
    target regclass;
BEGIN
    FOR target IN
        SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
          AND a.attname = 'tenant_id' AND NOT a.attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
        EXECUTE format(
            'CREATE POLICY own_rows ON %s TO voicehelper_tenant'
            ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', target);
        EXECUTE format('CREATE POLICY all_rows ON %s TO voicehelper_system USING (true)', target);
        EXECUTE format(
            'GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO voicehelper_tenant, voicehelper_system', target);
    END LOOP;
END $$;

-- Nobody changes the audit log, nor takes from it.
REVOKE UPDATE, DELETE ON audit_logs FROM voicehelper_tenant, voicehelper_system;

-- A tenant sees itself, and cannot disable or enable itself.
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON tenants TO voicehelper_tenant
    USING (id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY all_rows ON tenants TO voicehelper_system USING (true);
GRANT SELECT, UPDATE (name, version, updated_at) ON tenants TO voicehelper_tenant;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenants TO voicehelper_system;

-- Object keys begin with the tenant's id (knowledge/service.py).
ALTER TABLE object_deletions ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON object_deletions TO voicehelper_tenant
    USING (starts_with(object_key, (SELECT nullif(current_setting('app.tenant_id', true), '') || '/')));
CREATE POLICY all_rows ON object_deletions TO voicehelper_system USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON object_deletions TO voicehelper_tenant, voicehelper_system;

-- What belongs to no tenant: none of it is any tenant's affair.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['keyword_followers', 'signing_keys', 'login_failures'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY all_rows ON %I TO voicehelper_system USING (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO voicehelper_system', name);
    END LOOP;
END $$;
