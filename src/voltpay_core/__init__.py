"""The way of a payment, pure: no Kafka, no SQL, no clock and no environment."""
