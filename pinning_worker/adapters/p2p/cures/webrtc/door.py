"""A dialler by webrtc that does not finish must not keep others out.

The fault: 128 datagrams, sent from anywhere, hold all 128 places for handshakes for 30 s, and no browser gets in. Four
a second from a single address keep it so. Why: the library makes a whole peer connection for the first datagram, gives
it 30 s, and turns newcomers away while there are too many. Connections from one address are not counted at all. Where:
`WebRTCDirectListener`.

The cure: the door for datagrams (`bounds/datagram_door.py`) from the first datagram on, and a place at the door
(`bounds/door.py`) from the finished handshake on, at the address of ICE's nominated pair.

Upstream: not reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace as changed
from typing import Any
from weakref import WeakKeyDictionary

import structlog
import trio
from libp2p.transport.webrtc import _aiortc_helpers
from libp2p.transport.webrtc.connection import WebRTCConnection
from libp2p.transport.webrtc.listener import WebRTCDirectListener, _FirstContactLimiter
from libp2p.transport.webrtc.transport import WebRTCDirectTransport

from pinning_worker.adapters.p2p.bounds.datagram_door import TOTAL_BURST, TOTAL_RATE, DatagramDoor
from pinning_worker.adapters.p2p.bounds.door import Arrival, Door
from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.cures.ports.half_open import came_in
from pinning_worker.adapters.p2p.host.sockets import note_ip

CLOSE_SECONDS = 5.0

_log = structlog.get_logger(__name__)
_behind: WeakKeyDictionary[WebRTCDirectTransport, Door] = WeakKeyDictionary()
_doors: WeakKeyDictionary[WebRTCDirectListener, DatagramDoor] = WeakKeyDictionary()
_diallers: WeakKeyDictionary[Any, Dialler] = WeakKeyDictionary()  # by their ICE connection
_finishing: ContextVar[Dialler] = ContextVar("finishing")

Handler = Callable[[WebRTCConnection], Awaitable[None]]


def watch_over(transport: WebRTCDirectTransport, door: Door) -> None:
    """Each connection by that transport takes a place at this door. Several transports may share it."""
    _behind[transport] = door


def mend() -> None:
    replace(WebRTCDirectTransport, "create_listener", _with_a_door)
    replace(WebRTCDirectListener, "_accept", _let_in)
    replace(WebRTCDirectListener, "_finish_inbound", _until_it_leaves)


class Dialler:
    """On its way from the first datagram to the finished handshake. `end` may be called from either thread. `shown`:
    the address from which it has answered us, which need not be that of the first datagram."""

    def __init__(self, ip: str, loop: asyncio.AbstractEventLoop, token: trio.lowlevel.TrioToken | None) -> None:
        self.scope = trio.CancelScope()
        self.arrival = Arrival(ip, self.scope.cancel)
        self.shown = ip
        self.task: asyncio.Task[None] | None = None  # aiortc's part, once it has begun
        self.deadline: asyncio.TimerHandle | None = None
        self.ended = False
        self._loop, self._token = loop, token

    def end(self) -> None:
        self.ended = True
        with suppress(RuntimeError):  # that loop has stopped
            self._loop.call_soon_threadsafe(self._end_task)
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self.scope.cancel)

    def _end_task(self) -> None:
        if self.task is not None:
            self.task.cancel()


def _datagram_door(door: Door) -> DatagramDoor:
    each, together = _FirstContactLimiter(), _FirstContactLimiter(TOTAL_BURST, TOTAL_RATE)
    return DatagramDoor(door, each.allow, lambda now: together.allow("", now))


def _with_a_door(stock: Callable[..., WebRTCDirectListener]) -> Callable[..., WebRTCDirectListener]:
    def mended(self: WebRTCDirectTransport, handler: Handler) -> WebRTCDirectListener:
        door = _datagram_door(_behind.setdefault(self, Door()))
        listener = stock(self, _taking_a_place(door, handler))
        listener._first_contact_limiter = door  # type: ignore[assignment]  # replaces its limiter
        # The door admits newcomers and ends old ones, which still count for a moment.
        listener._config = changed(listener._config, max_in_flight_connections=4 * door.door.rules.max_half_open)
        _doors[listener] = door
        return listener

    return mended


def _let_in(stock: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    def mended(
        self: WebRTCDirectListener, ice: Any, server_ufrag: str, client_ufrag: str, client_pwd: str, addr: Any
    ) -> Coroutine[Any, Any, None]:
        """Called on aiortc's thread for a first datagram that may be one; the library runs what it returns."""
        loop, door = asyncio.get_running_loop(), _doors[self]
        dialler = _diallers[ice] = Dialler(addr[0], loop, self._trio_token)
        dialler.deadline = loop.call_later(door.door.rules.handshake_time.total_seconds(), door.expire, dialler)
        door.let_in(dialler)

        async def accept() -> None:
            dialler.task = asyncio.current_task()
            mux = self._mux
            if not dialler.ended:
                await stock(self, ice, server_ufrag, client_ufrag, client_pwd, addr)
            else:  # before it began
                self._in_flight -= 1
                if mux is not None:
                    mux.unregister(server_ufrag)
            if mux is None or server_ufrag not in mux._by_ufrag:  # it failed
                door.over(dialler)

        return accept()

    return mended


def _until_it_leaves(stock: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def mended(self: WebRTCDirectListener, pc: Any, bridge: Any, *args: Any) -> None:
        """From the handshake's last part, which is ours, to the end of the connection."""
        ice = pc.sctp.transport.transport._connection
        dialler = _diallers.get(ice)
        if dialler is None:  # by the library's experimental way, which we do not offer
            return await stock(self, pc, bridge, *args)
        if nominated := next(iter(ice._nominated.values()), None):
            dialler.shown = nominated.remote_addr[0]
        _finishing.set(dialler)
        try:
            with dialler.scope:
                await stock(self, pc, bridge, *args)
        finally:
            _doors[self].over(dialler)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                try:
                    await bridge.run_coro(_aiortc_helpers.close_peer_connection(pc))
                except Exception as error:  # noqa: BLE001  a broken connection may fail to close in any way
                    _log.debug("libp2p.close_failed", error=repr(error))
        if dialler.ended:
            _log.debug("libp2p.half_open_closed", ip=dialler.arrival.ip)
        return None

    return mended


def _taking_a_place(door: DatagramDoor, handler: Handler) -> Handler:
    async def mended(connection: WebRTCConnection) -> None:
        """The handshake is finished; returns when the connection has ended."""
        dialler = _finishing.get(None)
        if dialler is None:
            return await handler(connection)
        arrival = dialler.arrival
        if not door.over(dialler):
            return await connection.close()  # the door ended it a moment ago
        if dialler.deadline is not None:
            dialler.deadline.cancel()
        arrival.comes_from(dialler.shown)
        if not door.door.take_place(arrival):
            _log.debug("libp2p.too_many_from_one_address", ip=arrival.ip)
            return await connection.close()
        arrival.finish()
        came_in(connection, door.door, arrival)
        note_ip(connection, arrival.ip)
        try:
            return await handler(connection)
        finally:
            door.door.leave(arrival)

    return mended
