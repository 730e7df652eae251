"""The name index in SQL: filter, day and page are the database's work; a page costs a page, not the table.

A prefix is a range of byte strings (from `e/` to before `e0`), which both databases compare byte by byte. The primary
key is the order of every answer, so a page is read from its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, insert, not_, or_, select, update

from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.name_tables import name_blocks, name_metadata, name_ops, name_progress
from pinning_worker.adapters.sql.rows import AnyRow
from pinning_worker.domain.listing import NameFilter
from pinning_worker.domain.name_row import EMPTY_VALUES, IPFS, NAME_PREFIXES, NameRow
from pinning_worker.domain.payment import named_cid


class SqlNameIndex:
    """Port NameIndex. Every method may raise Trouble."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next_height(self) -> int | None:
        return await self._database.read(_next_height)

    async def hash_at(self, height: int) -> str | None:
        query = select(name_blocks.c.hash).where(name_blocks.c.height == height)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())

    async def add(self, height: int, hash: str, rows: Sequence[NameRow]) -> None:
        await self._database.write(lambda connection: _add(connection, height, hash, rows))

    async def resume_from(self, height: int) -> None:
        await self._database.write(lambda connection: _resume_from(connection, height))

    async def find(self, wanted: NameFilter, times: range | None, offset: int, limit: int) -> Sequence[NameRow]:
        query = page(wanted, times, offset, limit)
        return [_row(row) for row in await self._database.read(lambda connection: connection.execute(query).all())]

    async def note_metadata(self, root: bytes, has_images: bool) -> None:
        await self._database.write(lambda connection: _note(connection, root, has_images))


def page(wanted: NameFilter, times: range | None, offset: int, limit: int) -> Select[Any]:
    """The one question of a LIST."""
    return (
        select(name_ops)
        .where(*_selected(wanted), *_within(times))
        .order_by(name_ops.c.height.desc(), name_ops.c.position.desc())
        .offset(offset)
        .limit(limit)
    )


def _next_height(connection: Connection) -> int | None:
    return connection.execute(select(name_progress.c.next_height)).scalar_one_or_none()


def _add(connection: Connection, height: int, hash: str, rows: Sequence[NameRow]) -> None:
    if height != (expected := _next_height(connection)):
        raise ValueError(f"block {height} is not the one to index next ({expected})")
    connection.execute(insert(name_blocks).values(height=height, hash=hash))
    if rows:
        connection.execute(insert(name_ops), [_values(row) for row in rows])
    connection.execute(update(name_progress).values(next_height=height + 1))


def _resume_from(connection: Connection, height: int) -> None:
    for table in (name_blocks, name_ops):
        connection.execute(delete(table).where(table.c.height >= height))
    connection.execute(delete(name_progress))
    connection.execute(insert(name_progress).values(id=1, next_height=height))


def _note(connection: Connection, root: bytes, has_images: bool) -> None:
    connection.execute(delete(name_metadata).where(name_metadata.c.root == root))
    connection.execute(insert(name_metadata).values(root=root, has_images=has_images))


def _within(times: range | None) -> Iterator[ColumnElement[bool]]:
    if times is not None:
        yield name_ops.c.blocktime >= times.start
        yield name_ops.c.blocktime < times.stop


def _selected(wanted: NameFilter) -> Iterator[ColumnElement[bool]]:
    """`NameRow.matches`, for the database."""
    match wanted:
        case NameFilter.ALL:
            return
        case NameFilter.E | NameFilter.PE | NameFilter.BP:
            yield _begins(name_ops.c.name, *NAME_PREFIXES[wanted])
        case NameFilter.NAMES:
            yield name_ops.c.value.in_(EMPTY_VALUES)
            yield not_(_begins(name_ops.c.name, *NAME_PREFIXES[wanted]))
        case NameFilter.NFC:
            yield _begins(name_ops.c.value, IPFS)
        case NameFilter.COLLECTIONS:
            yield _begins(name_ops.c.value, IPFS)
            without = select(name_metadata.c.root).where(not_(name_metadata.c.has_images))
            yield or_(name_ops.c.root.is_(None), name_ops.c.root.not_in(without))


def _begins(column: ColumnElement[bytes], *prefixes: bytes) -> ColumnElement[bool]:
    return or_(*((column >= prefix) & (column < prefix[:-1] + bytes((prefix[-1] + 1,))) for prefix in prefixes))


def _values(row: NameRow) -> dict[str, object]:
    named = named_cid(row.value)
    return {
        "height": row.height,
        "position": row.position,
        "txid": row.txid,
        "n": row.n,
        "blocktime": row.blocktime,
        "value_swartz": row.value_swartz,
        "name": row.name,
        "value": row.value,
        "address": row.address,
        "root": named[0].key if named else None,
    }


def _row(row: AnyRow) -> NameRow:
    return NameRow(
        txid=row.txid,
        height=row.height,
        blocktime=row.blocktime,
        position=row.position,
        n=row.n,
        value_swartz=row.value_swartz,
        name=row.name,
        value=row.value,
        address=row.address,
    )
