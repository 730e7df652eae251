"""Which server shows which transaction: the histories that servers list, script by script. Plain bookkeeping, no I/O.

A server's histories stand while it is away, until it comes back and lists something else, or is found to lie
(`withdraw`). The order in which transactions arrived is kept: for those in no block it is the only sign of which are
new.
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
    """The rows of all histories. `read_history` bounds their number."""

    def __init__(self) -> None:
        self._rows: dict[Place, dict[Txid, int]] = {}  # heights
        self._listed: dict[Txid, _Listed] = {}
        self._arrivals = count()

    def __contains__(self, txid: Txid) -> bool:
        return txid in self._listed

    def replace(self, server: str, scripthash: str, history: Iterable[HistoryRow]) -> list[Txid]:
        """Takes the whole history of one script from that server. Returns the txids that no history lists now."""
        place = (server, scripthash)
        before, now = self._rows.get(place, {}), {row.txid: row.height for row in history}
        self._rows[place] = now
        for txid in now:
            if txid not in before:
                self._list(txid, place)
        return [txid for txid in before if txid not in now and self._is_unlisted(txid, place)]

    def withdraw(self, server: str) -> list[Txid]:
        """Forgets all that this server showed. Returns the txids that no other server shows."""
        places = [place for place in self._rows if place[0] == server]
        return [txid for place in places for txid in self._rows.pop(place) if self._is_unlisted(txid, place)]

    def rows_of(self, server: str) -> Iterator[HistoryRow]:
        """A snapshot of that server's rows: later changes do not disturb the iteration."""
        return (HistoryRow(txid, height) for txid, height in self._merged(server).items())

    def unmined_of(self, server: str) -> set[Txid]:
        return {txid for txid, height in self._merged(server).items() if height <= 0}

    def count_of(self, server: str) -> int:
        """Counts the rows of that server; a transaction in two histories counts twice."""
        return sum(len(rows) for (shown_by, _), rows in self._rows.items() if shown_by == server)

    def _merged(self, server: str) -> dict[Txid, int]:
        merged: dict[Txid, int] = {}
        for (shown_by, _), rows in self._rows.items():
            if shown_by == server:
                merged |= rows
        return merged

    def scripthashes_of(self, txid: Txid) -> set[str]:
        """The scripts whose histories list it."""
        listed = self._listed.get(txid)
        return {scripthash for _, scripthash in listed.places} if listed is not None else set()

    def servers_of(self, txid: Txid) -> frozenset[str]:
        """The servers that show it."""
        listed = self._listed.get(txid)
        return frozenset(server for server, _ in listed.places) if listed is not None else frozenset()

    def arrival(self, txid: Txid) -> int:
        """The number of its arrival: a later transaction has a higher one."""
        listed = self._listed.get(txid)
        return listed.arrival if listed is not None else -1

    def _list(self, txid: Txid, place: Place) -> None:
        listed = self._listed.get(txid)
        if listed is None:
            self._listed[txid] = _Listed({place}, next(self._arrivals))
        else:
            listed.places.add(place)

    def _is_unlisted(self, txid: Txid, place: Place) -> bool:
        """Takes it out of that place; True if that was the last one."""
        places = self._listed[txid].places
        places.discard(place)
        if not places:
            del self._listed[txid]
        return not places
