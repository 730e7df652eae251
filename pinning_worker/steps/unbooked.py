"""Sightings that are not in the books: without a proof, and for a CID without a quote.

A server invents sightings at no cost, so those with neither a proof nor a quote stay here, in memory: a bounded number,
the oldest dropped first, for the watcher reports a proven payment again anyway. A later quote finds the sightings of
its root. For one root a few sightings are booked, and a payment that left the mempool and came back is booked again a
few times; after that only its proof counts. So it does of a root for which very many have come and gone.

Each server has places of its own, here and in the books. A sighting takes a place of the server that shows it and has
most left, so one server's inventions hide nothing that another shows.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import Payment, Sighting, named_cid

MOST_UNBOOKED = 1_000  # of one server
MOST_FOR_ONE_ROOT = 20  # unproven payments in the books, of one server
MOST_GONE_FOR_ONE_ROOT = 200  # payments of one server that were booked and then left the mempool
MOST_RETURNS = 3  # of one payment to the mempool
MOST_COUNTED = 10_000  # roots and payments that are counted

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(slots=True)
class Unbooked:
    """`_sightings`: by server, with the root that each names. `_booked`: by root, the payments in the books without a
    proof, each with the server whose place it has. `_gone`: how often a payment has left the mempool. `_used_up`: by
    root and server, how many payments in its places have left the mempool: else a server that shows and withdraws its
    inventions would make the books, and the messages about them, grow without end."""

    _sightings: dict[str, OrderedDict[str, tuple[Root, Sighting]]] = field(default_factory=dict)
    _booked: OrderedDict[Root, dict[str, str]] = field(default_factory=OrderedDict)
    _gone: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _used_up: OrderedDict[tuple[Root, str], int] = field(default_factory=OrderedDict)

    def keep(self, sighting: Sighting) -> None:
        self.drop(sighting.txid)
        taken = {server: len(kept) for server, kept in self._sightings.items()}
        kept = self._sightings.setdefault(_least_taken(sighting.shown_by, taken), OrderedDict())
        named = named_cid(sighting.value)
        kept[sighting.txid] = (named[0].key if named else Root(b""), sighting)
        _shorten(kept, MOST_UNBOOKED)

    def drop(self, txid: Txid) -> None:
        for kept in self._sightings.values():
            kept.pop(txid, None)

    def seen_for(self, root: Root) -> list[Sighting]:
        """The sightings whose NameOp names that root."""
        everything = (each for kept in self._sightings.values() for each in kept.values())
        return [sighting for named, sighting in everything if named == root]

    def has_place(self, payment: Payment, shown_by: Collection[str]) -> bool:
        """Whether the books have room for this payment without a proof."""
        booked = self._booked.get(payment.root, {})
        taken = Counter(booked.values())
        usable = [server for server in shown_by or [""] if not self._is_used_up(payment.root, server)]
        has_room = any(taken[server] < MOST_FOR_ONE_ROOT for server in usable)
        return (payment.txid in booked or has_room) and self._gone.get(payment.txid, 0) <= MOST_RETURNS

    def _is_used_up(self, root: Root, server: str) -> bool:
        return self._used_up.get((root, server), 0) >= MOST_GONE_FOR_ONE_ROOT

    def note_booked(self, payment: Payment, shown_by: Collection[str] = ()) -> None:
        """The payment is in the books now, with a proof or without."""
        self.drop(payment.txid)
        booked = self._booked.setdefault(payment.root, {})
        if payment.proof is None and not payment.gone:
            usable = [server for server in shown_by if not self._is_used_up(payment.root, server)]
            booked.setdefault(payment.txid, _least_taken(usable or shown_by, Counter(booked.values())))
        else:
            server = booked.pop(payment.txid, None)
            if payment.gone and server is not None:
                self._used_up[payment.root, server] = self._used_up.get((payment.root, server), 0) + 1
                _shorten(self._used_up, MOST_COUNTED)
        if not booked:
            del self._booked[payment.root]
        _shorten(self._booked, MOST_COUNTED)

    def note_gone(self, payment: Payment) -> None:
        self.note_booked(payment)
        self._gone[payment.txid] = self._gone.get(payment.txid, 0) + 1
        _shorten(self._gone, MOST_COUNTED)


def _least_taken(shown_by: Collection[str], taken: Mapping[str, int]) -> str:
    return min(sorted(shown_by) or [""], key=lambda server: taken.get(server, 0))


def _shorten(kept: OrderedDict[Key, Value], most: int) -> None:
    """Drops the oldest beyond `most`."""
    while len(kept) > most:
        kept.popitem(last=False)
