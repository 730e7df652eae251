"""A dialler that says nothing must go, and must not keep others out.

The fault: a socket that sends `GET ` and no more is held for good, and so is one whose websocket handshake failed; a
silent one that got as far as the slots for inbound connections holds one of them until the upgrade times out. Why: on a
port shared by tcp and ws only the first three bytes and the security handshake have a deadline, and the steps between
have none. Where: `PortDemultiplexer._classify_and_route` and `TransportManager._add_listen_addr_shared`.

The cure: a door (`bounds/door.py`) watches over each port, from the accepted socket to the end of the connection.
`deafness` tells it when a handshake has finished.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

import structlog
import trio
from libp2p.transport.cmux import PortDemultiplexer

from pinning_worker.adapters.p2p.bounds.door import Arrival, Door
from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.cures.ports import first_bytes
from pinning_worker.adapters.p2p.host.sockets import ip_of, socket_under
from pinning_worker.domain.identities import PeerId

_log = structlog.get_logger(__name__)
_doors: WeakKeyDictionary[PortDemultiplexer, Door] = WeakKeyDictionary()
_arrivals: WeakKeyDictionary[Any, tuple[Door, Arrival]] = WeakKeyDictionary()

Route = Callable[[PortDemultiplexer, trio.SocketStream], Awaitable[None]]


def watch_over(port: PortDemultiplexer, door: Door) -> None:
    """Each connection to that port goes through this door. Several ports may share one."""
    _doors[port] = door


AFTER = (first_bytes,)  # the door's seconds include the wait for the first bytes


def mend() -> None:
    replace(PortDemultiplexer, "_classify_and_route", _watch_the_door)


def came_in(raw: Any, door: Door, arrival: Arrival) -> None:
    """`raw`: the socket, or the connection if it has none (cures/webrtc/door.py)."""
    _arrivals[raw] = door, arrival


def handshake_finished(raw: Any, peer: PeerId) -> None:
    """Called with the library's wrapping of a socket once its peer is known; a socket that was not accepted here is
    ignored."""
    if found := _arrivals.get(socket_under(raw) or raw):
        door, arrival = found
        door.finish(arrival, peer, trio.current_time())


def _watch_the_door(stock: Route) -> Route:
    async def mended(self: PortDemultiplexer, stream: trio.SocketStream) -> None:
        door = _doors.setdefault(self, Door())
        scope, finished = trio.CancelScope(), trio.Event()
        arrival = Arrival(ip_of(stream), scope.cancel, finished.set)
        if not door.let_in(arrival):
            _log.debug("libp2p.too_many_from_one_address", ip=arrival.ip)
            return await trio.aclose_forcefully(stream)
        came_in(stream, door, arrival)
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_watch, door, arrival, finished)
                    await stock(self, stream)
                    nursery.cancel_scope.cancel()
        finally:
            door.leave(arrival)
        if scope.cancelled_caught:
            _log.debug("libp2p.closed_at_the_door", ip=arrival.ip, peer=arrival.peer)
        return await trio.aclose_forcefully(stream)

    return mended


async def _watch(door: Door, arrival: Arrival, finished: trio.Event) -> None:
    with trio.move_on_after(door.rules.handshake_time.total_seconds()):
        await finished.wait()
    door.handshake_over(arrival)
    if not arrival.is_finished:
        arrival.end()
