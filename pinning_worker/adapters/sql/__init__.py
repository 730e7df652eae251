"""The books in SQLite (or PostgreSQL) through SQLAlchemy Core: one short function per transaction.

database       who may talk to it at once (one writer, four readers); faults: what its errors mean
book_tables    the tables; column_types: how our values lie in columns; schema: what migrations are compared with
books          the port: each method is one transaction over `<kind>_rows`
due_rows       what is due, from an index
name_index     LIST, a page for the price of a page; name_tables: its tables
receipts       the second port; never_quoted: the trace of another worker
migrate        revisions; sqlite_file, snapshot: a file looked at or copied before anything is opened
"""
