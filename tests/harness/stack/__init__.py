"""The real stack without Docker: Kafka and PostgreSQL as plain processes in temporary folders."""
