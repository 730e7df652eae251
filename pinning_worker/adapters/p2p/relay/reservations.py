"""Who may be reached through us, and until when. Plain bookkeeping: time is an argument, in seconds of any clock.

Rules: a peer that is welcome (subscribed to our topic) has a place for TERM, and again when it renews. A newcomer is
given PROBATION first, once for each time that it comes: a browser reserves while it starts, its subscription follows.
Newcomers hold at most a quarter of all places, so that strangers never keep our own peers out. Who has left, or has
not renewed, has none.
"""

from __future__ import annotations

from collections.abc import Callable

TERM = 3600.0
PROBATION = 60.0  # js-libp2p renews at half of it


class Reservations:
    """At most `most` places. `welcome(peer)`: is it one of ours now?"""

    def __init__(self, most: int, welcome: Callable[[str], bool]) -> None:
        self.most = most
        self._welcome = welcome
        self._until: dict[str, float] = {}
        self._on_probation: set[str] = set()
        self._had_probation: set[str] = set()

    def __len__(self) -> int:
        return len(self._until)

    def ask(self, peer: str, now: float) -> float | None:
        """For how many seconds it has a place from now on; None if there is none for it."""
        self._sweep(now)
        if self._welcome(peer):
            if peer not in self._until and len(self) >= self.most:
                return None
            self._on_probation.discard(peer)
            return self._place(peer, now, TERM)
        if peer in self._until and peer not in self._on_probation:
            self.forget(peer)  # was ours once, and is no more
        newcomers = len(self._on_probation) + 1
        if peer in self._had_probation or newcomers > max(1, self.most // 4) or len(self) >= self.most:
            return None
        self._on_probation.add(peer)
        self._had_probation.add(peer)
        return self._place(peer, now, PROBATION)

    def holds(self, peer: str, now: float) -> bool:
        return self._until.get(peer, 0.0) > now

    def forget(self, peer: str) -> None:
        """It left: its place is free, and when it comes back it may be a newcomer again."""
        self._until.pop(peer, None)
        self._on_probation.discard(peer)
        self._had_probation.discard(peer)

    def _place(self, peer: str, now: float, seconds: float) -> float:
        self._until[peer] = now + seconds
        return seconds

    def _sweep(self, now: float) -> None:
        for peer in [peer for peer, until in self._until.items() if until <= now]:
            del self._until[peer]
            self._on_probation.discard(peer)
