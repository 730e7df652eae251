"""Sightings that are not in the books: without a proof, and for what nobody was quoted.

An invention costs its server nothing, so what is neither proven nor waited for by a quote stands here, in memory: a
bounded number, the oldest lost first, for a proven payment is told again anyway. A quote that is given later finds what
was seen for its root. For one root a few sightings are booked, and a payment that left the mempool and came back is
booked again a few times; after that only its proof counts.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar

from pinning_worker.domain.payment import Payment, Sighting, named_cid

MOST_UNBOOKED = 1_000
MOST_FOR_ONE_ROOT = 20  # unproven payments in the books
MOST_RETURNS = 3  # of one payment to the mempool
MOST_COUNTED = 10_000  # roots and payments that are counted

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(slots=True)
class Unbooked:
    """`_sightings`: with the root that each names; `_booked`: those in the books without a proof, by root; `_gone`: how
    often a payment has left the mempool."""

    _sightings: OrderedDict[str, tuple[bytes, Sighting]] = field(default_factory=OrderedDict)
    _booked: OrderedDict[bytes, set[str]] = field(default_factory=OrderedDict)
    _gone: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def keep(self, sighting: Sighting) -> None:
        named = named_cid(sighting.value)
        self._sightings[sighting.txid] = (named[0].key if named else b"", sighting)
        _shorten(self._sightings, MOST_UNBOOKED)

    def drop(self, txid: str) -> None:
        self._sightings.pop(txid, None)

    def seen_for(self, root: bytes) -> list[Sighting]:
        """Those whose NameOp names that root."""
        return [sighting for named, sighting in self._sightings.values() if named == root]

    def has_place(self, payment: Payment) -> bool:
        """Whether the books take one more without a proof."""
        booked = self._booked.get(payment.root, ())
        has_room = payment.txid in booked or len(booked) < MOST_FOR_ONE_ROOT
        return has_room and self._gone.get(payment.txid, 0) <= MOST_RETURNS

    def note_booked(self, payment: Payment) -> None:
        """It is in the books now, with a proof or without."""
        self.drop(payment.txid)
        booked = self._booked.setdefault(payment.root, set())
        if payment.proof is None and not payment.gone:
            booked.add(payment.txid)
        else:
            booked.discard(payment.txid)
        if not booked:
            del self._booked[payment.root]
        _shorten(self._booked, MOST_COUNTED)

    def note_gone(self, payment: Payment) -> None:
        self.note_booked(payment)
        self._gone[payment.txid] = self._gone.get(payment.txid, 0) + 1
        _shorten(self._gone, MOST_COUNTED)


def _shorten(kept: OrderedDict[Key, Value], most: int) -> None:
    """The oldest goes first."""
    while len(kept) > most:
        kept.popitem(last=False)
