"""The books in SQLite (or PostgreSQL) through SQLAlchemy Core: one short function per transaction.

database       how many may use it at once (one writer, four readers); faults: its errors as our exceptions
book_tables    the tables; column_types: how our values are stored in columns; schema: the base of the migrations
books          the port: each method is one transaction over `<kind>_rows`
due_rows       the rows that are due, from an index
name_index     LIST, a page for the price of a page; name_tables: its tables
receipts       the second port; never_quoted: the trace of another worker
migrate        revisions; sqlite_file, snapshot: checks or copies a file before anything is opened
"""
