-- The roles stay: they belong to the server, and other databases of it may use them.
DO $$
DECLARE
    target record;
BEGIN
    FOR target IN
        SELECT p.polrelid::regclass AS name, p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE c.relnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', target.polname, target.name);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', target.name);
        EXECUTE format('REVOKE ALL ON %s FROM voicehelper_tenant, voicehelper_system', target.name);
    END LOOP;
    EXECUTE 'REVOKE UPDATE (name, version, updated_at) ON tenants FROM voicehelper_tenant';
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM voicehelper_tenant, voicehelper_system', current_schema());
END $$;
