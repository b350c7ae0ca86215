"""The ports kept by Kafka, by PostgreSQL, and by plain files and SQLite."""
