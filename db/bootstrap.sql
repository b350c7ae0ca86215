-- What Liquibase cannot do: the two roles, the schemas and pg_partman.
--
-- Run it as a superuser in the database of the payments, as often as you like: `voltpay db bootstrap`,
-- or `psql -v ON_ERROR_STOP=1 -1 -f bootstrap.sql`. It sets no password; `voltpay db bootstrap` sets those it
-- is given, and `\password voltpay_writer` in psql does the same by hand.

-- Whatever server, database and role have set: these decide how the rest is read.
SET standard_conforming_strings = on;
SET search_path = pg_catalog;

DO $$
BEGIN
    IF to_regrole('voltpay_migrator') IS NULL THEN
        CREATE ROLE voltpay_migrator LOGIN;
    END IF;
    IF to_regrole('voltpay_writer') IS NULL THEN
        CREATE ROLE voltpay_writer LOGIN;
    END IF;
    -- PUBLIC may make temporary tables by default, and so could the writer.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO voltpay_migrator', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO voltpay_writer', current_database());
END
$$;

-- pg_partman adds a month to a bound in the session's own time zone: only in UTC does each month begin at its
-- first midnight, whoever runs the maintenance.
ALTER ROLE voltpay_migrator SET timezone = 'UTC';

-- DETAIL prints the whole of a rejected row, and logged parameters are payments: keep both out of the server's log.
ALTER ROLE voltpay_writer SET log_error_verbosity = 'terse';
ALTER ROLE voltpay_writer SET log_parameter_max_length = 0;

CREATE SCHEMA IF NOT EXISTS write;
ALTER SCHEMA write OWNER TO voltpay_migrator;
GRANT USAGE ON SCHEMA write TO voltpay_writer;

CREATE SCHEMA IF NOT EXISTS partman;
CREATE EXTENSION IF NOT EXISTS pg_partman SCHEMA partman;
GRANT USAGE, CREATE ON SCHEMA partman TO voltpay_migrator; -- create_parent makes a template table there
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA partman TO voltpay_migrator;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA partman TO voltpay_migrator;
