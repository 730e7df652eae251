"""The operator's entries about money: a log that only grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select

from pinning_worker.adapters.sql.book_tables import ledger_entries
from pinning_worker.adapters.sql.rows import AnyRow, Conflict, insert_new, pieces, read_row
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.entry import Entry, EntryKind, EntryLog, follows
from pinning_worker.domain.money.swartz import Swartz


def every(connection: Connection) -> EntryLog:
    """By number. Raises DamagedRow."""
    rows = connection.execute(select(ledger_entries).order_by(ledger_entries.c.number))
    return tuple(read_row("ledger entry", str(row.number), _from_row, row) for row in rows)


def add(entries: Sequence[Entry], connection: Connection) -> None:
    """Raises Conflict unless their numbers follow."""
    if not entries:
        return
    last = connection.execute(select(func.coalesce(func.max(ledger_entries.c.number), 0))).scalar_one()
    if not follows(entries, last):
        raise Conflict
    for entry in entries:
        if connection.execute(insert_new(connection, ledger_entries).values(_to_row(entry))).rowcount != 1:
            raise Conflict  # another process was faster


def withdrawn(connection: Connection, txids: Sequence[Txid]) -> Mapping[Txid, Swartz]:
    """The amounts that entries have taken out of these payments; zero ones are left out."""
    found: Counter[Txid] = Counter()
    for piece in pieces(txids):
        query = select(ledger_entries.c.txid, ledger_entries.c.amount).where(ledger_entries.c.txid.in_(piece))
        for row in connection.execute(query):
            found[Txid(row.txid)] += row.amount.amount
    return {txid: Swartz(amount) for txid, amount in found.items() if amount}


_AS_THEY_ARE = ("number", "at", "txid", "root", "cid_text", "name", "amount", "refund_txid", "reason")


def _to_row(entry: Entry) -> dict[str, object]:
    return {**{field: getattr(entry, field) for field in _AS_THEY_ARE}, "kind": entry.kind.value}


def _from_row(row: AnyRow) -> Entry:
    return Entry(**{field: getattr(row, field) for field in _AS_THEY_ARE}, kind=EntryKind(row.kind))
