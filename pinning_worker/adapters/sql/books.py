"""Books in SQL: each method is one transaction; `<kind>_rows.py` holds its part for each kind of row.

A change is stored in a fixed order: first compare and swap, so that a conflict costs nothing; then the rows that are
written once; then the block references, released before held.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from pinning_worker.adapters.sql import (
    block_rows,
    due_rows,
    entry_rows,
    payment_proof_rows,
    payment_rows,
    pin_rows,
    quote_rows,
    request_rows,
    tariff_rows,
)
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.rows import Conflict
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.entry import EntryLog
from pinning_worker.domain.money.payment import Payment, PaymentProof
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.tariff import Tariff, TariffLog, follows
from pinning_worker.domain.pin import Pin, PinKey, Request, Share
from pinning_worker.ports.books import Change, Dossier


class SqlBooks:
    """Port Books. Every method may raise Trouble, and DamagedRow for a row that cannot be read.

    `note_quotes` and `note_tariff` are awaited before their rows are stored, so a second record of them is never behind
    the books.
    """

    def __init__(
        self,
        database: Database,
        note_quotes: Callable[[Sequence[Quote]], Awaitable[None]] | None = None,
        note_tariff: Callable[[Tariff], Awaitable[None]] | None = None,
    ) -> None:
        self._database, self._note_quotes, self._note_tariff = database, note_quotes, note_tariff

    async def commit(self, change: Change) -> bool:
        """Rewritten (a bug) leaves the books unchanged, like a refused change."""
        if change.quotes and self._note_quotes is not None:
            await self._note_quotes(change.quotes)
        try:
            await self._database.write(partial(_store, change))
        except Conflict:
            return False
        return True

    async def dossier(self, root: Root, naming: int) -> Dossier:
        def read(connection: Connection) -> Dossier:
            return Dossier(
                request_rows.one(connection, root),
                tuple(pin_rows.of_root(connection, root)),
                tuple(quote_rows.of_root(connection, root)),
                tuple(pin_rows.naming(connection, root, naming)),
            )

        return await self._database.read(read)

    async def request(self, root: Root) -> Request | None:
        return await self._database.read(lambda connection: request_rows.one(connection, root))

    async def pin(self, key: PinKey) -> Pin | None:
        return await self._database.read(lambda connection: pin_rows.one(connection, key))

    async def pins_of(self, root: Root) -> Sequence[Pin]:
        return await self._database.read(lambda connection: pin_rows.of_root(connection, root))

    async def pins_naming(self, cid: Root, limit: int) -> Sequence[Pin]:
        return await self._database.read(lambda connection: pin_rows.naming(connection, cid, limit))

    async def quotes(self, root: Root) -> Sequence[Quote]:
        return await self._database.read(lambda connection: quote_rows.of_root(connection, root))

    async def payment(self, txid: Txid) -> Payment | None:
        return await self._database.read(lambda connection: payment_rows.one(connection, txid))

    async def payments_of(self, key: PinKey) -> Sequence[Payment]:
        return await self._database.read(lambda connection: payment_rows.of_key(connection, key))

    async def payment_proof(self, txid: Txid) -> PaymentProof | None:
        return await self._database.read(lambda connection: payment_proof_rows.one(connection, txid))

    async def payments_without_proof(self) -> Sequence[Txid]:
        return await self._database.read(payment_proof_rows.missing)

    async def paid_without_pin(self, root: Root) -> Sequence[PinKey]:
        return await self._database.read(lambda connection: payment_rows.paid_without_pin(connection, root))

    async def unsettled(self) -> Sequence[PinKey]:
        return await self._database.read(payment_rows.unsettled)

    async def proven_from(self, height: int) -> Sequence[Payment]:
        return await self._database.read(lambda connection: payment_rows.proven_from(connection, height))

    async def due(self, now: datetime, limit: int) -> Sequence[Request | Pin]:
        return await self._database.read(lambda connection: due_rows.due(connection, now, limit))

    async def waiting(self, limit: int, *, paid_for: bool) -> Sequence[Request]:
        return await self._database.read(lambda connection: due_rows.waiting(connection, limit, paid_for=paid_for))

    async def next_due(self, after: datetime) -> datetime | None:
        return await self._database.read(lambda connection: due_rows.next_due(connection, after))

    async def active_requests(self, *, paid_for: bool) -> int:
        return await self._database.read(lambda connection: request_rows.count_active(connection, paid_for=paid_for))

    async def unpaid_room(self) -> Mapping[tuple[Share, ...], int]:
        return await self._database.read(request_rows.unpaid_room)

    async def held(self, root: Root) -> Sequence[Multihash]:
        return await self._database.read(lambda connection: block_rows.held(connection, root))

    async def holders(self, multihashes: Collection[Multihash]) -> dict[Multihash, set[Root]]:
        return await self._database.read(lambda connection: block_rows.holders(connection, tuple(multihashes)))

    async def unreferenced(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        return await self._database.read(lambda connection: block_rows.unreferenced(connection, multihashes))

    async def scripts_in_use(self, now: datetime) -> set[Script]:
        return await self._database.read(lambda connection: quote_rows.scripts_in_use(connection, now))

    async def tariffs(self) -> TariffLog:
        return await self._database.read(tariff_rows.every)

    async def add_tariff(self, tariff: Tariff) -> bool:
        if self._note_tariff is not None and follows(tariff, await self.tariffs()):
            await self._note_tariff(tariff)
        added = await self._database.write(partial(tariff_rows.add, tariff))
        if not added and self._note_tariff is not None:  # another process was faster: the last line is to be its own
            for stored in (await self.tariffs())[tariff.number - 1 : tariff.number]:
                await self._note_tariff(stored)
        return added

    async def strike_tariff(self, number: int) -> bool:
        struck = await self._database.write(partial(tariff_rows.strike, number))
        if struck and self._note_tariff is not None:
            await self._note_tariff((await self.tariffs())[number - 1])
        return struck

    async def entries(self) -> EntryLog:
        return await self._database.read(entry_rows.every)

    async def measured(self) -> Mapping[Root, Mapping[int, int]]:
        return await self._database.read(quote_rows.measured)

    async def all_pins(self) -> Sequence[Pin]:
        return await self._database.read(pin_rows.every)

    async def all_payments(self) -> Sequence[Payment]:
        return await self._database.read(payment_rows.every)


def _store(change: Change, connection: Connection) -> None:
    """Raises Conflict, Rewritten."""
    current = (
        _names_each_row_once(change)
        and all(request_rows.store(connection, request) for request in change.requests)
        and all(request_rows.forget(connection, request) for request in change.forget)
        and all(pin_rows.store(connection, pin) for pin in change.pins)
    )
    if not current:
        raise Conflict
    entry_rows.add(change.entries, connection)
    for quote in change.quotes:
        quote_rows.store(connection, quote)
    for payment in change.payments:
        payment_rows.store(connection, payment)
    for proof in change.payment_proofs:
        payment_proof_rows.store(connection, proof)
    for root in change.release:
        block_rows.release(connection, root)
    for root, multihashes in change.hold:
        block_rows.hold(connection, root, multihashes)


def _names_each_row_once(change: Change) -> bool:
    """The same request or pin twice in one change conflicts with itself, even if the versions follow each other."""
    roots = [request.root for request in (*change.requests, *change.forget)]
    keys = [pin.key for pin in change.pins]
    return len(set(roots)) == len(roots) and len(set(keys)) == len(keys)
