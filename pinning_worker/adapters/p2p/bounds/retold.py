"""Limits how often one peer gets the same message on request: MOST_TIMES, as in gossipsub.

Without it an IWANT of some bytes, repeated again and again, costs us a message of up to 1 MiB each time. A message can
be wanted for as long as it lies in the cache, some heartbeats; REMEMBERED_SECONDS after a peer first wanted it, nobody
can have it any more, and it is forgotten. So is the oldest when there are MOST_REMEMBERED.
"""

from __future__ import annotations

from collections import OrderedDict

MOST_TIMES = 3  # GossipRetransmission
REMEMBERED_SECONDS = 10.0  # seconds; the cache holds five heartbeats
MOST_REMEMBERED = 50_000


class Retold:
    """Peers and messages by their ids. Times are seconds of a clock that does not run backwards."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[bytes, bytes], tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._told)

    def may(self, peer: bytes, message: bytes, now: float) -> bool:
        """May that peer get that message? If so, this counts as once."""
        self._forget_before(now - REMEMBERED_SECONDS)
        first, times = self._told.get((peer, message), (now, 0))
        if times >= MOST_TIMES:
            return False
        self._told[peer, message] = first, times + 1
        if len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        return True

    def _forget_before(self, then: float) -> None:
        while self._told and next(iter(self._told.values()))[0] < then:
            self._told.popitem(last=False)
