"""Payments in PostgreSQL: the store, its schema and the care for it."""
