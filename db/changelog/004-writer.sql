--liquibase formatted sql

-- Rows go through the parents, so the grants on the parents serve every month, made and to be made.

--changeset voltpay:011
--comment: A written payment is never changed by the writer
GRANT SELECT, INSERT ON write.payment_core, write.payment_metadata, write.payment_notes TO voltpay_writer;
--rollback REVOKE ALL ON write.payment_core, write.payment_metadata, write.payment_notes FROM voltpay_writer;

--changeset voltpay:012
--comment: Claims are purged and outbox rows are deleted once published
GRANT SELECT, INSERT, DELETE ON write.idempotency, write.outbox TO voltpay_writer;
--rollback REVOKE ALL ON write.idempotency, write.outbox FROM voltpay_writer;

--changeset voltpay:013
--comment: A fence is raised by UPDATE, and even holding it FOR SHARE asks for that privilege
GRANT SELECT, INSERT, UPDATE ON write.partition_fence TO voltpay_writer;
--rollback REVOKE ALL ON write.partition_fence FROM voltpay_writer;

--changeset voltpay:014
--comment: The writer checks the version of the schema it meets
GRANT SELECT ON write.databasechangelog TO voltpay_writer;
--rollback REVOKE ALL ON write.databasechangelog FROM voltpay_writer;
