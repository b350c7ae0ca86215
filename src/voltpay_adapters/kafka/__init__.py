"""Apache Kafka: the source of payments and the topics for their events."""
