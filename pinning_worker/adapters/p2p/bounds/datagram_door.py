"""The door for datagrams: how many connections may be between their first datagram and the finished handshake.

The rules are those of the door (door.py), and the two count apart: the sender of a datagram can lie about its address,
so no datagram pushes a connection out of tcp, or counts at the address that it names. A connection whose handshake has
finished has answered from its true address, and takes a place at the door like any other from there.

A beginning costs us some milliseconds, so beginnings are limited too: for each address (the `proxies` excepted), and
TOTAL_RATE a second of all together.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from pinning_worker.adapters.p2p.bounds.door import Arrival, Door, network_of

TOTAL_RATE = 50.0
TOTAL_BURST = 100


class Beginner(Protocol):
    """A connection that has sent its first datagram. `end` closes it; either thread may call it."""

    arrival: Arrival

    def end(self) -> None: ...


class DatagramDoor:
    """The connections on their way in, the oldest first. Two threads may call it: aiortc's and ours.

    `each_may(network, now)` and `all_may(now)` count a beginning, and say whether it is within the limit.
    """

    def __init__(self, door: Door, each_may: Callable[[str, float], bool], all_may: Callable[[float], bool]) -> None:
        self.door = door
        self.arriving: list[Beginner] = []
        self._each_may = each_may
        self._all_may = all_may
        self._lock = threading.Lock()

    def allow(self, ip: str, now: float) -> bool:
        """May a connection from that address begin? Replaces the library's limiter."""
        if self.door.rules.limits(Arrival(ip)) and not self._each_may(network_of(ip), now):
            return False
        return self._all_may(now)

    def let_in(self, beginner: Beginner) -> None:
        rules, network = self.door.rules, beginner.arrival.network
        with self._lock:
            self.arriving.append(beginner)
            counted = Counter(each.arrival.network for each in self.arriving)
            if rules.limits(beginner.arrival) and counted[network] > rules.max_connections_per_address:
                self._evict(network)
            elif len(self.arriving) > rules.max_half_open:
                self._evict(counted.most_common(1)[0][0])

    def over(self, beginner: Beginner) -> bool:
        """The connection is no longer on its way in. False: it was not."""
        with self._lock:
            if beginner not in self.arriving:
                return False
            self.arriving.remove(beginner)
            return True

    def expire(self, beginner: Beginner) -> None:
        if self.over(beginner):
            beginner.end()

    def _evict(self, network: str) -> None:
        oldest = next(each for each in self.arriving if each.arrival.network == network)
        self.arriving.remove(oldest)
        oldest.end()
