"""Who dials and then says nothing must go, and must not keep others out.

What happens: a socket that sends `GET ` and no more is held for good, and so is one whose websocket handshake failed;
a silent one that got as far as the slots for inbound connections holds one of them until the upgrade times out.
Why: on a port shared by tcp and ws only the first three bytes and the security handshake have a deadline, not what
lies between. Where: `PortDemultiplexer._classify_and_route` and `TransportManager._add_listen_addr_shared`.

The cure: from the accepted socket to the finished handshake there are HANDSHAKE_SECONDS, and at most MOST_HALF_OPEN
may be on that way; one more, and the oldest from the address that has the most of them is closed. So whoever opens
many loses their own. `deafness` tells when a handshake has finished.

From one address PER_ADDRESS connections at most, finished or not: one more, and the oldest that has not finished goes;
if all have, the newcomer does. Not so for `proxies`, behind which many come with one address: this machine itself,
unless told otherwise. IPv6 addresses are counted by their /64, which is what one customer is given.

When `most_inside` have finished their handshake, one more takes the place of one that is of no use
(`bounds/who_leaves.py`), or leaves at once. So a socket that says nothing pushes nobody out. Each that comes by a proxy
is counted as an address of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any
from weakref import WeakKeyDictionary

import structlog
import trio
from libp2p.transport.cmux import PortDemultiplexer

from pinning_worker.adapters.p2p.bounds.who_leaves import Guest, who_leaves
from pinning_worker.adapters.p2p.cures.once import replace

HANDSHAKE_SECONDS = 10.0
MOST_HALF_OPEN = 64
PER_ADDRESS = 32
LOOPBACK = frozenset({"127.0.0.1", "::1"})

_WRAPPINGS = ("conn", "stream", "_ws", "_stream", "transport_stream")
_DEEPEST = 12

_log = structlog.get_logger(__name__)
_doors: WeakKeyDictionary[PortDemultiplexer, Door] = WeakKeyDictionary()
_arrivals: WeakKeyDictionary[Any, tuple[Door, Arrival]] = WeakKeyDictionary()

Route = Callable[[PortDemultiplexer, trio.SocketStream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DoorRules:
    """`proxies`: IP addresses that `per_address` is not for."""

    handshake_seconds: float | None = None  # None: the module's
    half_open: int = MOST_HALF_OPEN
    per_address: int = PER_ADDRESS
    proxies: frozenset[str] = LOOPBACK
    most_inside: int = 1 << 30

    @property
    def seconds(self) -> float:
        return HANDSHAKE_SECONDS if self.handshake_seconds is None else self.handshake_seconds

    def limits(self, arrival: Arrival) -> bool:
        """Does `per_address` count it?"""
        return bool(counted_as(arrival.ip, self.proxies))


class Arrival:
    """A connection, from the accepted socket on. `scope` ends it; `finished`: its handshake is."""

    def __init__(self, ip: str) -> None:
        self.comes_from(ip)
        self.scope = trio.CancelScope()
        self.finished = trio.Event()
        self.peer = ""

    def comes_from(self, ip: str) -> None:
        """Not to be said again of one that was let in."""
        self.ip, self.network = ip, network_of(ip)


class Door:
    """Everybody who came in, and those on their way to the finished handshake, the oldest first.

    `keeps(peer)`: that one never leaves for another."""

    def __init__(self, rules: DoorRules | None = None) -> None:
        self.rules = rules or DoorRules()
        self.arriving: list[Arrival] = []
        self.keeps: Callable[[str], bool] = lambda _peer: False
        self._inside: Counter[str] = Counter()
        self._guests: dict[Guest, Arrival] = {}
        self._of_peer: dict[str, set[Guest]] = {}

    def let_in(self, arrival: Arrival) -> bool:
        """False: there are too many from that address already. Who was let in must `leave`."""
        if not self.take_place(arrival):
            return False
        self.arriving.append(arrival)
        if len(self.arriving) > self.rules.half_open:
            self._evict(Counter(each.network for each in self.arriving).most_common(1)[0][0])
        return True

    def take_place(self, arrival: Arrival) -> bool:
        """It counts as one of its address from now on. For who has finished elsewhere (`webrtc_door`); must `leave`."""
        limited = self.rules.limits(arrival)
        if limited and self._inside[arrival.network] >= self.rules.per_address and not self._evict(arrival.network):
            return False
        self._inside[arrival.network] += 1
        return True

    def finish(self, arrival: Arrival, peer: str, now: float) -> None:
        """Its handshake is over, and it is that peer's. It stays, if there is room for it."""
        arrival.peer = peer
        arrival.finished.set()
        if len(self._guests) >= self.rules.most_inside and not self._make_room(arrival, now) and not self.keeps(peer):
            return arrival.scope.cancel()
        guest = Guest(self._counted_as(arrival), now)
        self._guests[guest] = arrival
        self._of_peer.setdefault(peer, set()).add(guest)
        return None

    def used(self, peer: str, now: float) -> None:
        """That peer asked for something, gave something, or handed us a message."""
        for guest in self._of_peer.get(peer, ()):
            guest.used_at = now

    def _make_room(self, newcomer: Arrival, now: float) -> bool:
        may_leave = [guest for guest, arrival in self._guests.items() if not self.keeps(arrival.peer)]
        guest = who_leaves(may_leave, self._counted_as(newcomer), now)
        if guest is None:
            return False
        leaving = self._guests[guest]
        self._forget(leaving)
        leaving.scope.cancel()
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
        """The oldest of them that has not finished; False: all have."""
        for each in self.arriving:
            if each.network == network and not each.finished.is_set():
                self.arriving.remove(each)
                each.scope.cancel()
                return True
        return False


def watch_over(port: PortDemultiplexer, door: Door) -> None:
    """Whoever comes to that port goes through this door. Several ports may share one."""
    _doors[port] = door


def mend() -> None:
    replace(PortDemultiplexer, "_classify_and_route", _watch_the_door)


def came_in(raw: Any, door: Door, arrival: Arrival) -> None:
    """`raw`: the socket, or the connection that has none (`webrtc_door`)."""
    _arrivals[raw] = door, arrival


def handshake_finished(raw: Any, peer: str) -> None:
    """Called with the library's wrapping of a socket once its peer is known; what was not accepted here is ignored."""
    if found := _arrivals.get(socket_under(raw) or raw):
        door, arrival = found
        door.finish(arrival, peer, trio.current_time())


def _watch_the_door(stock: Route) -> Route:
    async def mended(self: PortDemultiplexer, stream: trio.SocketStream) -> None:
        door = _doors.setdefault(self, Door())
        arrival = Arrival(ip_of(stream))
        if not door.let_in(arrival):
            _log.debug("libp2p.too_many_from_one_address", ip=arrival.ip)
            return await trio.aclose_forcefully(stream)
        came_in(stream, door, arrival)
        try:
            with arrival.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_watch, door, arrival)
                    await stock(self, stream)
                    nursery.cancel_scope.cancel()
        finally:
            door.leave(arrival)
        if arrival.scope.cancelled_caught:
            _log.debug("libp2p.closed_at_the_door", ip=arrival.ip, peer=arrival.peer)
        return await trio.aclose_forcefully(stream)

    return mended


async def _watch(door: Door, arrival: Arrival) -> None:
    with trio.move_on_after(door.rules.seconds):
        await arrival.finished.wait()
    door.handshake_over(arrival)
    if not arrival.finished.is_set():
        arrival.scope.cancel()


def network_of(ip: str) -> str:
    """What is counted as one address."""
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Network((int(address) >> 64 << 64, 64)))
    return ip


def counted_as(ip: str, proxies: frozenset[str]) -> str:
    """Empty: it is not to be counted, for many come from there. Proxies are known by their whole address."""
    network = network_of(ip)
    return network if proxies.isdisjoint((ip, network)) else ""


def ip_under(connection: Any) -> str:
    """Of a connection as its muxer has it: from its socket, or as it came in (webrtc has no socket of its own). Empty
    where there is none: a circuit's, or what is gone."""
    if (stream := socket_under(getattr(connection, "secured_conn", None))) is not None:
        return ip_of(stream)
    found = _arrivals.get(connection)
    return found[1].ip if found else ""


def ip_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""  # gone already


def socket_under(raw: Any) -> trio.SocketStream | None:
    """Down through the wrappings: SecureSession.conn, RawConnection.stream, TrioTCPStream.stream,
    P2PWebSocketConnection._ws._stream, SSLStream.transport_stream, PeekableStream.stream.
    """
    for _ in range(_DEEPEST):
        if raw is None or isinstance(raw, trio.SocketStream):
            return raw
        raw = next((getattr(raw, name) for name in _WRAPPINGS if hasattr(raw, name)), None)
    return None
