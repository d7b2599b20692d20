-- Run by the superuser in medagg's database: medagg's role, which is no superuser, owns it with all
-- that is in it. Does nothing where that is so. Also run in the container of docker-compose.yml.
SELECT pg_advisory_xact_lock(hashtext('medagg.own_database'));
DO $$
DECLARE
    statement text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'medagg') THEN
        CREATE ROLE medagg LOGIN;
    END IF;
    -- The one right beyond ownership: bulk imports check the foreign keys of all rows at once.
    IF NOT has_parameter_privilege('medagg', 'session_replication_role', 'SET') THEN
        GRANT SET ON PARAMETER session_replication_role TO medagg;
    END IF;
    IF (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()) = 'medagg' THEN
        RETURN;
    END IF;
    -- What extensions made stays the superuser's. A sequence of a column goes with its table.
    FOR statement IN
        SELECT format('ALTER TABLE %s OWNER TO medagg', relation.oid::regclass)
          FROM pg_class relation
         WHERE relation.relnamespace = 'public'::regnamespace AND relation.relkind IN ('r', 'p', 'v', 'm')
           AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
                              AND objid = relation.oid AND deptype = 'e')
         UNION ALL
        SELECT format('ALTER SEQUENCE %s OWNER TO medagg', sequence.oid::regclass)
          FROM pg_class sequence
         WHERE sequence.relnamespace = 'public'::regnamespace AND sequence.relkind = 'S'
           AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
                              AND objid = sequence.oid AND deptype IN ('a', 'i', 'e'))
         UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO medagg', routine.oid::regprocedure)
          FROM pg_proc routine
         WHERE routine.pronamespace = 'public'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass
                              AND objid = routine.oid AND deptype = 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
    EXECUTE format('ALTER DATABASE %I OWNER TO medagg', current_database());
END $$;
