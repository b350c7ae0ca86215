--liquibase formatted sql

--changeset voltpay:001
--comment: A payment as it was asked for; created_at is the time inside the id, so the id alone tells the month
CREATE TABLE write.payment_core (
    id         varchar(30) COLLATE "C" NOT NULL,
    amount     numeric(20, 6)          NOT NULL,
    status     smallint                NOT NULL,
    currency   varchar(3) COLLATE "C"  NOT NULL,
    account_id bigint                  NOT NULL,
    type       varchar(3) COLLATE "C"  NOT NULL,
    created_at timestamptz             NOT NULL,
    CONSTRAINT payment_core_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT payment_core_id_form CHECK (length(id) = 30),
    CONSTRAINT payment_core_amount_positive CHECK (amount > 0 AND amount <> 'NaN'),
    CONSTRAINT payment_core_status_known CHECK (status IN (2, 0, -2)),
    CONSTRAINT payment_core_currency_form CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT payment_core_account_id_natural CHECK (account_id >= 0),
    CONSTRAINT payment_core_type_form CHECK (type ~ '^[A-Z0-9]{1,3}$')
) PARTITION BY RANGE (created_at);
--rollback DROP TABLE write.payment_core;

--changeset voltpay:002
--comment: How often and when a payment changed
CREATE TABLE write.payment_metadata (
    id         varchar(30) COLLATE "C" NOT NULL,
    created_at timestamptz             NOT NULL,
    updated_at timestamptz             NOT NULL,
    version    integer                 NOT NULL,
    CONSTRAINT payment_metadata_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT payment_metadata_id_form CHECK (length(id) = 30),
    CONSTRAINT payment_metadata_updated_later CHECK (updated_at >= created_at),
    CONSTRAINT payment_metadata_version_positive CHECK (version > 0)
) PARTITION BY RANGE (created_at);
--rollback DROP TABLE write.payment_metadata;

--changeset voltpay:003
--comment: What people and other systems said about a payment; both may be absent, the row never is
CREATE TABLE write.payment_notes (
    id              varchar(30) COLLATE "C" NOT NULL,
    created_at      timestamptz             NOT NULL,
    external_ref_id varchar(200),
    comment         varchar(300),
    CONSTRAINT payment_notes_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT payment_notes_id_form CHECK (length(id) = 30)
) PARTITION BY RANGE (created_at);
--rollback DROP TABLE write.payment_notes;

--changeset voltpay:004 splitStatements:false
--comment: One partition a month, this one and the next two, for ever on; no DEFAULT: a row of no month must fail loudly
DO $$
DECLARE
    partman_major CONSTANT integer := (
        SELECT split_part(extversion, '.', 1)::integer FROM pg_extension WHERE extname = 'pg_partman');
    payment_table text;
BEGIN
    IF partman_major IS NULL THEN
        RAISE EXCEPTION 'pg_partman is not in this database: run "voltpay db bootstrap" as a superuser first';
    END IF;
    -- The months are those of the session's time zone, and a JDBC session has the zone of its machine.
    PERFORM set_config('TimeZone', 'UTC', true);
    FOREACH payment_table IN ARRAY ARRAY['payment_core', 'payment_metadata', 'payment_notes'] LOOP
        IF partman_major >= 5 THEN
            PERFORM partman.create_parent(
                p_parent_table := 'write.' || payment_table,
                p_control := 'created_at',
                p_type := 'range',
                p_interval := '1 month',
                p_premake := 2,
                p_start_partition := date_trunc('month', now())::text,
                p_default_table := false);
        ELSE
            PERFORM partman.create_parent(
                p_parent_table := 'write.' || payment_table,
                p_control := 'created_at',
                p_type := 'native',
                p_interval := 'monthly',
                p_premake := 2,
                p_start_partition := date_trunc('month', now())::text);
            EXECUTE format('DROP TABLE IF EXISTS write.%I', payment_table || '_default');
        END IF;
        UPDATE partman.part_config SET infinite_time_partitions = true
        WHERE parent_table = 'write.' || payment_table;
    END LOOP;
END
$$;
--rollback DELETE FROM partman.part_config
--rollback WHERE parent_table IN ('write.payment_core', 'write.payment_metadata', 'write.payment_notes');
--rollback DROP TABLE IF EXISTS partman.template_write_payment_core, partman.template_write_payment_metadata,
--rollback     partman.template_write_payment_notes;
