--liquibase formatted sql

--changeset voltpay:007
--comment: The events of one transaction and source partition, until they are published: almost always empty, never still
CREATE TABLE write.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    topic      text        NOT NULL,
    partition  integer     NOT NULL,
    payload    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_partition_natural CHECK (partition >= 0)
);
--rollback DROP TABLE write.outbox;

--changeset voltpay:008
--comment: A payload lives for milliseconds: compressing it is work for nothing
ALTER TABLE write.outbox ALTER COLUMN payload SET STORAGE EXTERNAL;
--rollback ALTER TABLE write.outbox ALTER COLUMN payload SET STORAGE EXTENDED;

--changeset voltpay:009
--comment: Vacuum after so many dead rows, not after a share of none; keep the file, for giving it back locks the writer out
ALTER TABLE write.outbox SET (
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = off,
    toast.autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_cost_delay = 0,
    toast.vacuum_truncate = off
);
--rollback ALTER TABLE write.outbox RESET (
--rollback     autovacuum_vacuum_threshold, autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_delay,
--rollback     vacuum_truncate, toast.autovacuum_vacuum_threshold, toast.autovacuum_vacuum_scale_factor,
--rollback     toast.autovacuum_vacuum_cost_delay, toast.vacuum_truncate);

--changeset voltpay:010
--comment: Whose a source partition is (its epoch), and the position of a source that keeps none; room for updates in place
CREATE TABLE write.partition_fence (
    topic       text COLLATE "C" NOT NULL,
    partition   integer          NOT NULL,
    epoch       bigint           NOT NULL,
    next_offset bigint,
    CONSTRAINT partition_fence_pkey PRIMARY KEY (topic, partition),
    CONSTRAINT partition_fence_partition_natural CHECK (partition >= 0),
    CONSTRAINT partition_fence_next_offset_natural CHECK (next_offset >= 0)
) WITH (fillfactor = 20);
--rollback DROP TABLE write.partition_fence;
