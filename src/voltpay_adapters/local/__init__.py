"""The embedded default: JSON lines, SQLite and plain lists, with the same guarantees."""
