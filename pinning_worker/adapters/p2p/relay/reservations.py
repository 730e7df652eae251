"""The peers reachable through us, and until when. Plain bookkeeping: time is an argument, in seconds of any clock.

Rules: a peer that is welcome (subscribed to our topic) has a place for TERM_SECONDS, and again when it renews. A
newcomer gets PROBATION_SECONDS first, once each time that it comes: a browser reserves while it starts, its
subscription follows. Newcomers hold at most a quarter of all places, so that strangers never keep our own peers out. A
peer that has left, or has not renewed, has none.

Subscribing costs a stranger nothing. So when all places are taken, the oldest of the address that has the most makes
way for a peer whose address has less; sites are compared first (bounds/sites.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from pinning_worker.adapters.p2p.bounds.sites import Counts
from pinning_worker.domain.identities import PeerId

TERM_SECONDS = 3600.0
PROBATION_SECONDS = 60.0  # js-libp2p renews at half of it


class Reservations:
    """At most `most` places. `welcome(peer)`: is it one of ours now?"""

    def __init__(self, most: int, welcome: Callable[[PeerId], bool]) -> None:
        self.most = most
        self._welcome = welcome
        self._until: dict[PeerId, float] = {}
        self._address: dict[PeerId, str] = {}
        self._on_probation: set[PeerId] = set()
        self._had_probation: set[PeerId] = set()

    def __len__(self) -> int:
        return len(self._until)

    def ask(self, peer: PeerId, now: float, address: str = "") -> float | None:
        """The seconds for which it has a place from now on; None: there is none for it. `address`: the one at which it
        counts (whereabouts.py)."""
        self._sweep(now)
        address = address or peer
        if self._welcome(peer):
            if peer not in self._until and len(self) >= self.most and not self._make_room(self._until, address):
                return None
            self._on_probation.discard(peer)
            return self._place(peer, now, TERM_SECONDS, address)
        if peer in self._until and peer not in self._on_probation:
            self.forget(peer)  # was one of ours, and is no more
        if peer in self._had_probation:
            return None
        among = self._on_probation if len(self._on_probation) >= max(1, self.most // 4) else self._until
        if (among is self._on_probation or len(self) >= self.most) and not self._make_room(among, address):
            return None
        self._on_probation.add(peer)
        self._had_probation.add(peer)
        return self._place(peer, now, PROBATION_SECONDS, address)

    def holds(self, peer: PeerId, now: float) -> bool:
        return self._until.get(peer, 0.0) > now

    def forget(self, peer: PeerId) -> None:
        """The peer left: its place is free, and when it comes back it may be a newcomer again."""
        self._give_up(peer)
        self._had_probation.discard(peer)

    def _make_room(self, among: Collection[PeerId], address: str) -> bool:
        """Removes the oldest of the address that has the most of them, if that one still has more than the newcomer's
        then."""
        counts = Counts(self._address[peer] for peer in among)
        greediest = counts.greediest()
        if counts.lead(greediest, over=address) <= 1:
            return False
        self._give_up(min((peer for peer in among if self._address[peer] == greediest), key=self._until.__getitem__))
        return True

    def _give_up(self, peer: PeerId) -> None:
        self._until.pop(peer, None)
        self._address.pop(peer, None)
        self._on_probation.discard(peer)

    def _place(self, peer: PeerId, now: float, seconds: float, address: str) -> float:
        self._until[peer] = now + seconds
        self._address[peer] = address
        return seconds

    def _sweep(self, now: float) -> None:
        for peer in [peer for peer, until in self._until.items() if until <= now]:
            self._give_up(peer)
