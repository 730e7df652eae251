"""Who shows which transaction: the histories that servers tell, script by script. Plain bookkeeping, no I/O.

What a server showed stands while it is away, until it comes back and says otherwise, or is found to lie (`withdraw`).
The order in which transactions arrived is remembered: of those in no block it is the only sign of which are new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from pinning_worker.adapters.electrum.answers import HistoryRow
from pinning_worker.domain.identities import Txid

Place = tuple[str, str]  # (server, scripthash)


@dataclass(slots=True)
class _Listed:
    """Where one transaction is listed, and its number in the order of arrival."""

    places: set[Place]
    arrival: int


class Shown:
    """The rows of all histories. Its size is that of what `read_history` lets in."""

    def __init__(self) -> None:
        self._rows: dict[Place, dict[Txid, int]] = {}  # heights
        self._listed: dict[Txid, _Listed] = {}
        self._arrivals = count()

    def __contains__(self, txid: Txid) -> bool:
        return txid in self._listed

    def replace(self, server: str, scripthash: str, history: Iterable[HistoryRow]) -> list[Txid]:
        """The whole history of one script, as that server tells it now. Returns what nobody shows any more."""
        place = (server, scripthash)
        before, now = self._rows.get(place, {}), {row.txid: row.height for row in history}
        self._rows[place] = now
        for txid in now:
            if txid not in before:
                self._list(txid, place)
        return [txid for txid in before if txid not in now and self._is_unlisted(txid, place)]

    def withdraw(self, server: str) -> list[Txid]:
        """Forgets what that server showed. Returns what nobody shows any more."""
        places = [place for place in self._rows if place[0] == server]
        return [txid for place in places for txid in self._rows.pop(place) if self._is_unlisted(txid, place)]

    def rows_of(self, server: str) -> Iterator[HistoryRow]:
        """As they are now, however long it takes to go through them."""
        return (HistoryRow(txid, height) for txid, height in self._merged(server).items())

    def unmined_of(self, server: str) -> set[Txid]:
        return {txid for txid, height in self._merged(server).items() if height <= 0}

    def count_of(self, server: str) -> int:
        """A row of two scripts counts twice."""
        return sum(len(rows) for (shown_by, _), rows in self._rows.items() if shown_by == server)

    def _merged(self, server: str) -> dict[Txid, int]:
        merged: dict[Txid, int] = {}
        for (shown_by, _), rows in self._rows.items():
            if shown_by == server:
                merged |= rows
        return merged

    def scripthashes_of(self, txid: Txid) -> set[str]:
        """The scripts in whose histories it is listed."""
        listed = self._listed.get(txid)
        return {scripthash for _, scripthash in listed.places} if listed is not None else set()

    def servers_of(self, txid: Txid) -> frozenset[str]:
        """Who shows it."""
        listed = self._listed.get(txid)
        return frozenset(server for server, _ in listed.places) if listed is not None else frozenset()

    def arrival(self, txid: Txid) -> int:
        """Higher: later."""
        listed = self._listed.get(txid)
        return listed.arrival if listed is not None else -1

    def _list(self, txid: Txid, place: Place) -> None:
        listed = self._listed.get(txid)
        if listed is None:
            self._listed[txid] = _Listed({place}, next(self._arrivals))
        else:
            listed.places.add(place)

    def _is_unlisted(self, txid: Txid, place: Place) -> bool:
        """Takes it out of that place; whether it was the last one."""
        places = self._listed[txid].places
        places.discard(place)
        if not places:
            del self._listed[txid]
        return not places
