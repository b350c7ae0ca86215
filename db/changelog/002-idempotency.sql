--liquibase formatted sql

--changeset voltpay:005
--comment: The claimed message ids; not partitioned, or an id would be unique within its partition only
CREATE TABLE write.idempotency (
    message_id varchar(255) COLLATE "C" NOT NULL,
    date       timestamptz              NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_pkey PRIMARY KEY (message_id),
    CONSTRAINT idempotency_message_id_present CHECK (message_id <> '')
);
--rollback DROP TABLE write.idempotency;

--changeset voltpay:006
--comment: Lets the purge find what is older than a week without reading the week
CREATE INDEX idempotency_date_brin ON write.idempotency USING brin (date)
    WITH (pages_per_range = 32, autosummarize = on);
--rollback DROP INDEX write.idempotency_date_brin;
