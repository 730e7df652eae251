"""The books in SQLite (or PostgreSQL) through SQLAlchemy Core: one short function per transaction."""
