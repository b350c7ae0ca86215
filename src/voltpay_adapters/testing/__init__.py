"""Sample payments, for tests of services."""
