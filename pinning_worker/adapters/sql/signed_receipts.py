"""Signed receipts in SQL: one block for each (CID, paying transaction).

The multihashes are in memory, so that a stranger who asks for blocks that are not here costs no read. Only the process
that writes receipts serves them.
"""

from __future__ import annotations

from functools import partial
from typing import Self

from sqlalchemy import Connection, delete, insert, select

from pinning_worker.adapters.sql.book_tables import signed_receipts
from pinning_worker.adapters.sql.database import Database
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.money.signed_receipt import receipt_cid

_T = signed_receipts.c


class SqlSignedReceipts:
    """Port SignedReceipts. Every method may raise Trouble."""

    def __init__(self, database: Database, keys: dict[Multihash, str]) -> None:
        """Use `open`."""
        self._database, self._keys = database, keys

    @classmethod
    async def open(cls, database: Database) -> Self:
        return cls(database, await database.read(_keys))

    async def put(self, key: str, block: bytes) -> None:
        await self._database.write(partial(_replace, key, block))
        self._forget(key)
        self._keys[receipt_cid(block).multihash] = key

    async def get(self, key: str) -> bytes | None:
        query = select(_T.block).where(_T.key == key)
        block = await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())
        return bytes(block) if block is not None else None

    async def drop(self, key: str) -> None:
        await self._database.write(partial(_delete, key))
        self._forget(key)

    async def block(self, multihash: Multihash) -> bytes | None:
        key = self._keys.get(multihash)
        return await self.get(key) if key is not None else None

    def _forget(self, key: str) -> None:
        for multihash in [multihash for multihash, known in self._keys.items() if known == key]:
            del self._keys[multihash]


def _keys(connection: Connection) -> dict[Multihash, str]:
    return {Multihash(bytes(row.multihash)): row.key for row in connection.execute(select(_T.multihash, _T.key))}


def _replace(key: str, block: bytes, connection: Connection) -> None:
    _delete(key, connection)
    multihash = receipt_cid(block).multihash
    connection.execute(insert(signed_receipts).values(key=key, multihash=multihash, block=block))


def _delete(key: str, connection: Connection) -> None:
    connection.execute(delete(signed_receipts).where(_T.key == key))
