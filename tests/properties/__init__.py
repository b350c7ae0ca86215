"""Laws that hold over any history, whatever breaks; PostgreSQL passes them as SQLite does."""
