"""Where Alembic meets our tables. `pinning_worker.adapters.sql.migrate` runs this with an open transaction.

For developers, `alembic -x url=sqlite:////tmp/x.db revision --autogenerate -m "…"` drafts the next revision.
"""

from alembic import context
from sqlalchemy import Connection

from pinning_worker.adapters.sql import book_tables, name_tables  # noqa: F401  # they hang their tables on `metadata`
from pinning_worker.adapters.sql.database import engine_of
from pinning_worker.adapters.sql.schema import metadata


def run(connection: Connection) -> None:
    """SQLite changes a table by copying it (batch mode). The transaction is the caller's."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with engine_of(context.get_x_argument(as_dictionary=True)["url"]).begin() as opened:
        run(opened)
