"""The name index in SQL: the database filters by kind and day and cuts the page; a page costs a page, not the table.

`NameRow.matches` decides once, when a row is added, which filters select it; a query only names the column. When the
content behind a name becomes known, its rows move in or out of `collections`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, false, func, insert, or_, select, update

from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.name_tables import SELECTED_BY, name_blocks, name_metadata, name_ops, name_progress
from pinning_worker.adapters.sql.rows import AnyRow
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.money.payment import named_cid
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow
from pinning_worker.ports.names import IndexedBlock

ROWS_AT_ONCE = 1_000  # in one question about their content: a database limits the parameters of a statement


class SqlNameIndex:
    """Port NameIndex. Every method may raise Trouble."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next_height(self) -> int | None:
        return await self._database.read(_next_height)

    async def hash_at(self, height: int) -> str | None:
        query = select(name_blocks.c.hash).where(name_blocks.c.height == height)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())

    async def lowest(self) -> tuple[int, str] | None:
        return await self._database.read(_lowest)

    async def add(self, height: int, hash: str, rows: Sequence[NameRow]) -> None:
        await self._database.write(lambda connection: _add(connection, height, hash, rows))

    async def add_below(self, height: int, hash: str, blocks: Sequence[IndexedBlock]) -> bool:
        return await self._database.write(lambda connection: _add_below(connection, height, hash, blocks))

    async def resume_from(self, height: int) -> None:
        await self._database.write(lambda connection: _resume_from(connection, height))

    async def find(self, wanted: NameFilter, times: range | None, offset: int, limit: int) -> Sequence[NameRow]:
        return await self._database.read(lambda connection: _find(connection, wanted, times, offset, limit))

    async def search(self, text: bytes, limit: int) -> Sequence[NameRow]:
        return await self._database.read(lambda connection: _search(connection, text, limit))

    async def note_metadata(self, root: Root, has_images: bool) -> None:
        await self._database.write(lambda connection: _note(connection, root, has_images))


def _find(
    connection: Connection, wanted: NameFilter, times: range | None, offset: int, limit: int
) -> Sequence[NameRow]:
    heights = None
    if times is not None:
        heights = _heights(connection, times)
        if _all_within(connection, times, heights):
            times = None
    query = page(wanted, times, heights, offset, limit)
    return [_row(row) for row in connection.execute(query)]


def _heights(connection: Connection, times: range) -> range:
    """The heights from the lowest to the highest block of that time that holds a name."""
    lowest, highest = connection.execute(
        select(func.min(name_blocks.c.height), func.max(name_blocks.c.height)).where(*_within(times, name_blocks))
    ).one()
    return range(0) if lowest is None else range(lowest, highest + 1)


def _all_within(connection: Connection, times: range, heights: range) -> bool:
    """Whether each block in that range is of that time: a block's time may be before that of the block below it."""
    before_or_after = (name_blocks.c.blocktime < times.start) | (name_blocks.c.blocktime >= times.stop)
    stranger = select(name_blocks.c.height).where(*_between(heights, name_blocks), before_or_after).limit(1)
    return connection.execute(stranger).one_or_none() is None


def page(wanted: NameFilter, times: range | None, heights: range | None, offset: int, limit: int) -> Select[Any]:
    """The query of a LIST: the keys from the filter's index alone, then the rows of that page."""
    keys = (
        select(name_ops.c.height, name_ops.c.position)
        .where(*_selected(wanted), *_within(times, name_ops), *_between(heights, name_ops))
        .order_by(name_ops.c.height.desc(), name_ops.c.position.desc())
        .offset(offset)
        .limit(limit)
        .subquery()
    )
    same_key = (name_ops.c.height == keys.c.height) & (name_ops.c.position == keys.c.position)
    return select(name_ops).join(keys, same_key).order_by(name_ops.c.height.desc(), name_ops.c.position.desc())


def _search(connection: Connection, text: bytes, limit: int) -> Sequence[NameRow]:
    query = (
        select(name_ops)
        .where(or_(*(_contains(connection, column, text) for column in (name_ops.c.name, name_ops.c.value))))
        .order_by(name_ops.c.height.desc(), name_ops.c.position.desc())
        .limit(limit)
    )
    return [_row(row) for row in connection.execute(query)]


def _contains(connection: Connection, column: ColumnElement[bytes], text: bytes) -> ColumnElement[bool]:
    """Whether the bytes in that column contain these. LIKE is for texts."""
    is_sqlite = connection.dialect.name == "sqlite"
    found_at = func.instr(column, text) if is_sqlite else func.pg_catalog.position(column, text)
    return found_at > 0


def _lowest(connection: Connection) -> tuple[int, str] | None:
    query = select(name_blocks.c.height, name_blocks.c.hash).order_by(name_blocks.c.height).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.height, row.hash)


def _next_height(connection: Connection) -> int | None:
    return connection.execute(select(name_progress.c.next_height)).scalar_one_or_none()


def _add(connection: Connection, height: int, hash: str, rows: Sequence[NameRow]) -> None:
    if height != (expected := _next_height(connection)):
        raise ValueError(f"block {height} is not the one to index next ({expected})")
    _insert(connection, [IndexedBlock(height, hash, tuple(rows))])
    connection.execute(update(name_progress).values(next_height=height + 1))


def _add_below(connection: Connection, height: int, hash: str, blocks: Sequence[IndexedBlock]) -> bool:
    if _lowest(connection) != (height, hash):
        return False
    if [block.height for block in blocks] != list(range(height - 1, height - 1 - len(blocks), -1)):
        raise ValueError(f"those blocks do not lie just below {height}")
    _insert(connection, blocks)
    return True


def _insert(connection: Connection, blocks: Sequence[IndexedBlock]) -> None:
    values = [
        {"height": block.height, "hash": block.hash, "blocktime": block.rows[0].blocktime if block.rows else None}
        for block in blocks
    ]
    if values:
        connection.execute(insert(name_blocks), values)
    rows = [row for block in blocks for row in block.rows]
    for at in range(0, len(rows), ROWS_AT_ONCE):
        _insert_rows(connection, rows[at : at + ROWS_AT_ONCE])


def _insert_rows(connection: Connection, rows: Sequence[NameRow]) -> None:
    roots = [_root(row) for row in rows]
    known = _has_images(connection, {root for root in roots if root})
    values = [_values(row, root, known.get(root) if root else None) for row, root in zip(rows, roots, strict=True)]
    connection.execute(insert(name_ops), values)


def _resume_from(connection: Connection, height: int) -> None:
    for table in (name_blocks, name_ops):
        connection.execute(delete(table).where(table.c.height >= height))
    connection.execute(delete(name_progress))
    connection.execute(insert(name_progress).values(id=1, next_height=height))


def _note(connection: Connection, root: Root, has_images: bool) -> None:
    connection.execute(delete(name_metadata).where(name_metadata.c.root == root))
    connection.execute(insert(name_metadata).values(root=root, has_images=has_images))
    is_collection = name_ops.c[SELECTED_BY[NameFilter.COLLECTIONS]]
    is_nfc = name_ops.c[SELECTED_BY[NameFilter.NFC]]
    stays = is_nfc if has_images else false()
    connection.execute(update(name_ops).where(name_ops.c.root == root).values({is_collection: stays}))


def _has_images(connection: Connection, roots: Collection[Root]) -> Mapping[Root, bool]:
    """Whether the content of each root has images, for the roots whose content is known."""
    query = select(name_metadata.c.root, name_metadata.c.has_images).where(name_metadata.c.root.in_(roots))
    return {row.root: row.has_images for row in connection.execute(query)}


def _root(row: NameRow) -> Root | None:
    named = named_cid(row.value)
    return named[0].key if named else None


def _within(times: range | None, table: Table) -> Iterator[ColumnElement[bool]]:
    if times is not None:
        yield table.c.blocktime >= times.start
        yield table.c.blocktime < times.stop


def _between(heights: range | None, table: Table) -> Iterator[ColumnElement[bool]]:
    if heights is not None:
        yield table.c.height >= heights.start
        yield table.c.height < heights.stop


def _selected(wanted: NameFilter) -> Iterator[ColumnElement[bool]]:
    if wanted is not NameFilter.ALL:
        yield name_ops.c[SELECTED_BY[wanted]]


def _values(row: NameRow, root: Root | None, has_images: bool | None) -> dict[str, object]:
    return {
        **{column: row.matches(wanted, has_images) for wanted, column in SELECTED_BY.items()},
        "height": row.height,
        "position": row.position,
        "txid": row.txid,
        "n": row.n,
        "blocktime": row.blocktime,
        "value_swartz": row.value_swartz,
        "name": row.name,
        "value": row.value,
        "address": row.address,
        "root": root,
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
