"""Requests a minute: of each origin, of one connection, of one address, and of all together.

Making up origins costs nothing, so a budget for each of them is not enough. Times are seconds of one clock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import ceil

from pinning_worker.domain.identities import PeerId

MINUTE_SECONDS = 60.0
MOST_ORIGINS = 10_000
CONNECTION_SHARE = 4  # one connection brings a quarter of all at most: making up origins costs nothing
LITTLE_SHARE = 1_000  # and it may always bring a thousandth of all, whatever others bring from its address


class Minute:
    """How often each key came in its current minute; of too many keys, the least recently heard is forgotten."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def so_far(self, key: str, now: float) -> int:
        since, count = self._counts.get(key, (now, 0))
        return count if now - since < MINUTE_SECONDS else 0

    def begun(self, key: str, now: float) -> float:
        """The time at which the key's current minute began."""
        since, _ = self._counts.get(key, (now, 0))
        return since if now - since < MINUTE_SECONDS else now

    def count(self, key: str, now: float) -> int:
        """Counts one more, and returns how many there were, this one among them."""
        since, count = self._counts.pop(key, (now, 0))
        if now - since >= MINUTE_SECONDS:
            since, count = now, 0
        self._counts[key] = (since, count + 1)
        if len(self._counts) > MOST_ORIGINS:
            self._counts.popitem(last=False)
        return count + 1


@dataclass(slots=True)
class RequestBudget:
    """Requests a minute of each origin, of one connection, of one address, and of all together. Requests over the
    origin's budget are charged to nobody else, unless a notice answers them; requests over the connection's or the
    address's are not charged to all.

    An address may bring as many as it leaves to all others: one alone brings half of all, two a third each, and a
    newcomer always finds something left. A connection whose address is not known is its own address. Each connection
    always has a little left: a peer that shares an address with others who use it up still hears an answer.
    """

    requests_per_peer_per_minute: int
    requests_per_minute: int
    _origins: Minute = field(default_factory=Minute)
    _connections: Minute = field(default_factory=Minute)
    _addresses: Minute = field(default_factory=Minute)
    _all: Minute = field(default_factory=Minute)
    _noticed: OrderedDict[tuple[PeerId, str], float] = field(
        default_factory=OrderedDict
    )  # and the minute of the notice

    def over_its_own(self, origin: PeerId, now: float) -> int:
        """Counts a request. How far over its origin's budget it is; 0 or less: within it."""
        return self._origins.count(origin, now) - self.requests_per_peer_per_minute

    def needs_notice(self, origin: PeerId, kind: str, now: float) -> bool:
        """Whether this is the first request of that kind that is over its origin's budget in the origin's minute."""
        minute = self._origins.begun(origin, now)
        is_first = self._noticed.pop((origin, kind), None) != minute
        self._noticed[origin, kind] = minute
        if len(self._noticed) > MOST_ORIGINS:
            self._noticed.popitem(last=False)
        return is_first

    def seconds_left(self, origin: PeerId, now: float) -> int:
        """The seconds after which the origin's next minute has begun."""
        return max(1, ceil(self._origins.begun(origin, now) + MINUTE_SECONDS - now))

    def over_all(self, forwarder: PeerId, address: str, now: float) -> bool:
        """Counts a request that is within its origin's budget, or a notice that one is over it. True: too many came
        through that peer, from that address, or in all."""
        brought = self._connections.count(forwarder, now)
        if brought > max(1, self.requests_per_minute // CONNECTION_SHARE):
            return True
        is_little = brought <= self.requests_per_minute // LITTLE_SHARE
        if (
            self._addresses.count(address or forwarder, now) > self.requests_per_minute - self._all.so_far("", now)
            and not is_little
        ):
            return True
        return self._all.count("", now) > self.requests_per_minute and not is_little
