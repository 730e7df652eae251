"""Who dials and then says nothing must go, and must not keep others out.

What happens: a socket that sends `GET ` and no more is held for good, and so is one whose websocket handshake failed;
a silent one that got as far as the slots for inbound connections holds one of them until the upgrade times out.
Why: on a port shared by tcp and ws only the first three bytes and the security handshake have a deadline, not what
lies between. Where: `PortDemultiplexer._classify_and_route` and `TransportManager._add_listen_addr_shared`.

The cure: from the accepted socket to the finished handshake there are HANDSHAKE_SECONDS, and at most MOST_HALF_OPEN
may be on that way; one more, and the oldest from the address that has the most of them is closed. So whoever opens
many loses their own. `deafness` tells when a handshake has finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

import structlog
import trio
from libp2p.transport.cmux import PortDemultiplexer

from pinning_worker.adapters.p2p.cures.once import replace

HANDSHAKE_SECONDS = 10.0
MOST_HALF_OPEN = 64

_WRAPPINGS = ("stream", "_ws", "_stream", "transport_stream")

_log = structlog.get_logger(__name__)
_doors: WeakKeyDictionary[PortDemultiplexer, Door] = WeakKeyDictionary()
_arrivals: WeakKeyDictionary[trio.SocketStream, Arrival] = WeakKeyDictionary()

Route = Callable[[PortDemultiplexer, trio.SocketStream], Awaitable[None]]


class Arrival:
    """A connection on its way from the accepted socket to the finished handshake. `scope` ends it."""

    def __init__(self, ip: str) -> None:
        self.ip = ip
        self.scope = trio.CancelScope()
        self.finished = trio.Event()


class Door:
    """Everybody who is on that way, the oldest first."""

    def __init__(self) -> None:
        self.arriving: list[Arrival] = []

    def let_in(self, arrival: Arrival) -> None:
        self.arriving.append(arrival)
        if len(self.arriving) > MOST_HALF_OPEN:
            busiest = Counter(each.ip for each in self.arriving).most_common(1)[0][0]
            victim = next(each for each in self.arriving if each.ip == busiest)
            self.arriving.remove(victim)
            victim.scope.cancel()

    def leave(self, arrival: Arrival) -> None:
        if arrival in self.arriving:
            self.arriving.remove(arrival)


def mend() -> None:
    replace(PortDemultiplexer, "_classify_and_route", _watch_the_door)


def handshake_finished(raw: Any) -> None:
    """Called with the library's wrapping of a socket once its peer is known; what was not accepted here is ignored."""
    stream = _socket_of(raw)
    arrival = None if stream is None else _arrivals.get(stream)
    if arrival is not None:
        arrival.finished.set()


def _watch_the_door(stock: Route) -> Route:
    async def mended(self: PortDemultiplexer, stream: trio.SocketStream) -> None:
        door = _doors.setdefault(self, Door())
        arrival = _arrivals[stream] = Arrival(_ip(stream))
        door.let_in(arrival)
        with arrival.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, door, arrival)
                await stock(self, stream)
                nursery.cancel_scope.cancel()
        door.leave(arrival)
        if arrival.scope.cancelled_caught:
            _log.debug("libp2p.half_open_closed", ip=arrival.ip)
        await trio.aclose_forcefully(stream)

    return mended


async def _watch(door: Door, arrival: Arrival) -> None:
    with trio.move_on_after(HANDSHAKE_SECONDS):
        await arrival.finished.wait()
    door.leave(arrival)
    if not arrival.finished.is_set():
        arrival.scope.cancel()


def _ip(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""  # gone already


def _socket_of(raw: Any) -> trio.SocketStream | None:
    """Down through the wrappings: TrioTCPStream.stream, P2PWebSocketConnection._ws._stream, SSLStream.transport_stream,
    PeekableStream.stream.
    """
    for _ in range(8):
        if raw is None or isinstance(raw, trio.SocketStream):
            return raw
        raw = next((getattr(raw, name) for name in _WRAPPINGS if hasattr(raw, name)), None)
    return None
