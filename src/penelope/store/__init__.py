"""Tables, migrations and transactions, the same on SQLite and PostgreSQL."""
