"""The mark of the books, in a table of one row; see `domain.store_mark`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from pinning_worker.adapters.sql.book_tables import block_references, store_mark
from pinning_worker.adapters.sql.database import Database
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.store_mark import Mark


async def read_mark(database: Database) -> Mark | None:
    """Raises Trouble."""
    row = await database.read(lambda connection: connection.execute(select(store_mark)).one_or_none())
    return Mark(row.id, row.starts) if row else None


async def write_mark(database: Database, mark: Mark) -> None:
    """Raises Trouble."""

    def replace(connection: Connection) -> None:
        connection.execute(delete(store_mark))
        connection.execute(insert(store_mark).values(id=mark.id, starts=mark.starts))

    await database.write(replace)


async def raise_mark(database: Database) -> Mark | None:
    """Adds one start, in one transaction. None if there is no mark. Raises Trouble."""

    def count(connection: Connection) -> Mark | None:
        connection.execute(update(store_mark).values(starts=store_mark.c.starts + 1))
        row = connection.execute(select(store_mark)).one_or_none()
        return Mark(row.id, row.starts) if row else None

    return await database.write(count)


async def some_held(database: Database, most: int) -> Sequence[Multihash]:
    """Returns one multihash of each root, for at most `most` roots. Raises Trouble."""
    roots = select(block_references.c.root).distinct().limit(most).subquery()
    first = (  # instead of min(): PostgreSQL has none for bytes
        select(block_references.c.multihash)
        .where(block_references.c.root == roots.c.root)
        .order_by(block_references.c.multihash)
        .limit(1)
        .correlate(roots)
        .scalar_subquery()
    )
    return await database.read(lambda connection: connection.execute(select(first).select_from(roots)).scalars().all())


async def all_held(database: Database) -> tuple[Multihash, ...]:
    """Returns every block that a root references, in order. Raises Trouble."""
    query = select(block_references.c.multihash).distinct().order_by(block_references.c.multihash)
    return tuple(await database.read(lambda connection: connection.execute(query).scalars().all()))
