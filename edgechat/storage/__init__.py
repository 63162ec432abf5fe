"""SQLite files: opening, durable transactions, migration, readable errors, and the terms of full-text search."""
