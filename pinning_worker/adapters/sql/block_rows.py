"""Block references: which block is held for which root. A block without a row here may be deleted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from pinning_worker.adapters.sql.book_tables import block_references
from pinning_worker.adapters.sql.rows import insert_new, pieces
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.multihash import Multihash


def hold(connection: Connection, root: Root, multihashes: Sequence[Multihash]) -> None:
    if multihashes:
        rows = [{"root": root, "multihash": multihash} for multihash in multihashes]
        connection.execute(insert_new(connection, block_references), rows)


def release(connection: Connection, root: Root) -> None:
    connection.execute(delete(block_references).where(block_references.c.root == root))


def held(connection: Connection, root: Root) -> Sequence[Multihash]:
    query = select(block_references.c.multihash).where(block_references.c.root == root)
    return connection.execute(query.order_by(block_references.c.multihash)).scalars().all()


def holders(connection: Connection, multihashes: Sequence[Multihash]) -> dict[Multihash, set[Root]]:
    found: dict[Multihash, set[Root]] = {}
    for piece in pieces(multihashes):
        for row in connection.execute(select(block_references).where(block_references.c.multihash.in_(piece))):
            found.setdefault(row.multihash, set()).add(row.root)
    return found


def unreferenced(connection: Connection, multihashes: Sequence[Multihash]) -> set[Multihash]:
    free = set(multihashes)
    for piece in pieces(multihashes):
        query = select(block_references.c.multihash).where(block_references.c.multihash.in_(piece))
        free.difference_update(connection.execute(query.distinct()).scalars())
    return free
