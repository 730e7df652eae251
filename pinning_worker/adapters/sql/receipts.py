"""Receipts in SQL: one row for each (CID, paying transaction)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection, delete, insert, select

from pinning_worker.adapters.sql.book_tables import receipts
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.rows import AnyRow
from pinning_worker.domain.money.receipt import Receipt

_FIELDS = [field.name for field in fields(Receipt)]


class SqlReceipts:
    """Port Receipts. Every method may raise Trouble."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, receipt: Receipt) -> None:
        await self._database.write(lambda connection: _replace(connection, receipt))

    async def get(self, key: str) -> Receipt | None:
        query = select(receipts).where(receipts.c.key == key)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return _from_row(row) if row else None

    async def all(self) -> Sequence[Receipt]:
        rows = await self._database.read(lambda connection: connection.execute(select(receipts)).all())
        return sorted((_from_row(row) for row in rows), key=lambda receipt: receipt.key)


def _replace(connection: Connection, receipt: Receipt) -> None:
    connection.execute(delete(receipts).where(receipts.c.key == receipt.key))
    values = {field: getattr(receipt, field) for field in _FIELDS}
    connection.execute(insert(receipts).values(key=receipt.key, **values))


def _from_row(row: AnyRow) -> Receipt:
    return Receipt(**{field: getattr(row, field) for field in _FIELDS})
