"""The door: how many connections may come in, how many of one address, and how long a handshake may take.

From the accepted socket to the finished handshake a connection has `handshake_time`, and at most `max_half_open` are on
that way. One more closes the oldest from the address that has the most of them, so an address that opens many loses its
own.

One address has `max_connections_per_address`, finished or not: one more closes the oldest that has not finished, and
the newcomer if all have. `proxies` are excepted, because many come through one of them with one address; by default
this machine itself is one. An IPv6 address counts by its /64, the share of one customer.

When `most_inside` connections have finished their handshake, one more takes the place of one that is of no use
(eviction.py), or leaves at once. So a silent socket pushes nobody out. Each connection that comes by a proxy counts
as an address of its own.

The sockets and the clock belong to the callers: `cures/ports/half_open.py` for tcp, `cures/webrtc/door.py` for webrtc.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from pinning_worker.adapters.p2p.bounds.defaults import (
    HANDSHAKE_TIME,
    MAX_CONNECTIONS_PER_ADDRESS,
    MAX_HALF_OPEN,
    PROXIES,
)
from pinning_worker.adapters.p2p.bounds.eviction import Guest, evicted
from pinning_worker.domain.identities import NO_PEER, PeerId


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True)
class DoorRules:
    """`proxies`: IP addresses that `max_connections_per_address` does not limit."""

    handshake_time: timedelta = HANDSHAKE_TIME
    max_half_open: int = MAX_HALF_OPEN
    max_connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS
    proxies: frozenset[str] = frozenset(PROXIES)
    most_inside: int = 1 << 30

    def limits(self, arrival: Arrival) -> bool:
        """Does `max_connections_per_address` count it?"""
        return bool(counted_as(arrival.ip, self.proxies))


class Arrival:
    """A connection, from the accepted socket on.

    `end` closes it; `on_finished` is called when its handshake is over. `peer`: NO_PEER until then.
    """

    def __init__(self, ip: str, end: Callable[[], None] = _nothing, on_finished: Callable[[], None] = _nothing) -> None:
        self.comes_from(ip)
        self.end = end
        self.is_finished = False
        self.peer = NO_PEER
        self._on_finished = on_finished

    def comes_from(self, ip: str) -> None:
        """Corrects the address. Not allowed once the door has counted the arrival."""
        self.ip, self.network = ip, network_of(ip)

    def finish(self) -> None:
        self.is_finished = True
        self._on_finished()


class Door:
    """All connections that came in, and those on their way to the finished handshake, the oldest first.

    `keeps(peer)`: a connection of that peer never leaves for another. Times are seconds of one clock.
    """

    def __init__(self, rules: DoorRules | None = None) -> None:
        self.rules = rules or DoorRules()
        self.arriving: list[Arrival] = []
        self.keeps: Callable[[PeerId], bool] = lambda _peer: False
        self._inside: Counter[str] = Counter()
        self._guests: dict[Guest, Arrival] = {}
        self._of_peer: dict[PeerId, set[Guest]] = {}

    def let_in(self, arrival: Arrival) -> bool:
        """False: its address has too many connections already. An admitted arrival must `leave`."""
        if not self.take_place(arrival):
            return False
        self.arriving.append(arrival)
        if len(self.arriving) > self.rules.max_half_open:
            self._evict(Counter(each.network for each in self.arriving).most_common(1)[0][0])
        return True

    def take_place(self, arrival: Arrival) -> bool:
        """Counts the arrival at its address, for one that has finished its handshake elsewhere (datagram_door.py). An
        arrival that got a place must `leave`. False: its address has no place left.
        """
        limited = self.rules.limits(arrival)
        if (
            limited
            and self._inside[arrival.network] >= self.rules.max_connections_per_address
            and not self._evict(arrival.network)
        ):
            return False
        self._inside[arrival.network] += 1
        return True

    def finish(self, arrival: Arrival, peer: PeerId, now: float) -> None:
        """Its handshake is over, and showed that peer. The connection stays, if there is room for it."""
        arrival.peer = peer
        arrival.finish()
        if len(self._guests) >= self.rules.most_inside and not self._make_room(arrival, now) and not self.keeps(peer):
            return arrival.end()
        guest = Guest(self._counted_as(arrival), now)
        self._guests[guest] = arrival
        self._of_peer.setdefault(peer, set()).add(guest)
        return None

    def used(self, peer: PeerId, now: float) -> None:
        """That peer asked for something, gave something, or handed us a message."""
        for guest in self._of_peer.get(peer, ()):
            guest.used_at = now

    def _make_room(self, newcomer: Arrival, now: float) -> bool:
        may_leave = [guest for guest, arrival in self._guests.items() if not self.keeps(arrival.peer)]
        guest = evicted(may_leave, self._counted_as(newcomer), now)
        if guest is None:
            return False
        leaving = self._guests[guest]
        self._forget(leaving)
        leaving.end()
        return True

    def _forget(self, arrival: Arrival) -> None:
        for guest in [guest for guest in self._of_peer.get(arrival.peer, ()) if self._guests[guest] is arrival]:
            del self._guests[guest]
            self._of_peer[arrival.peer].remove(guest)
            if not self._of_peer[arrival.peer]:
                del self._of_peer[arrival.peer]

    def _counted_as(self, arrival: Arrival) -> str:
        return arrival.network if self.rules.limits(arrival) else f"{arrival.network} {id(arrival)}"

    def handshake_over(self, arrival: Arrival) -> None:
        if arrival in self.arriving:
            self.arriving.remove(arrival)

    def leave(self, arrival: Arrival) -> None:
        self.handshake_over(arrival)
        self._inside[arrival.network] -= 1
        self._inside += Counter()  # forgets those with none
        self._forget(arrival)

    def _evict(self, network: str) -> bool:
        """Closes the oldest of them that has not finished; False: all have."""
        for each in self.arriving:
            if each.network == network and not each.is_finished:
                self.arriving.remove(each)
                each.end()
                return True
        return False


def network_of(ip: str) -> str:
    """The unit that counts as one address."""
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Network((int(address) >> 64 << 64, 64)))
    return ip


def counted_as(ip: str, proxies: frozenset[str]) -> str:
    """Empty: it does not count, for many come from there. Proxies are known by their whole address."""
    network = network_of(ip)
    return network if proxies.isdisjoint((ip, network)) else ""
