"""A browser that left over webrtc must not hold its place for good.

The fault: a webrtc connection that its peer closed, or whose peer vanished, counts as open until the host stops; after
250 of them nobody gets in any more, by tcp neither. Why: nothing listens to aiortc once the handshake is over, so the
library never learns that a connection has ended. Where: `wire_pc_to_connection`.

The cure: when aiortc reports that the connection has ended (its peer closed it, or was silent for 30 s), we close it.
We also close it when the peer has ended SCTP, which carries everything: js-libp2p on Node closes that, and nothing
else. A caller that opens a stream just then gets an error: it used to wait for ten seconds in vain, and so did a
browser that came back at once. The library's own record of each data channel goes when the channel does, not only with
the connection.

Upstream: not reported.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import structlog
import trio
from libp2p.abc import IMuxedStream
from libp2p.transport.webrtc import _aiortc_helpers
from libp2p.transport.webrtc.connection import WebRTCConnection
from libp2p.transport.webrtc.exceptions import WebRTCStreamError

from pinning_worker.adapters.p2p.cures.once import replace

ENDED = frozenset({"closed", "failed"})
CLOSE_SECONDS = 5.0

_log = structlog.get_logger(__name__)

Wire = Callable[[Any, WebRTCConnection], None]
Open = Callable[[WebRTCConnection], Awaitable[IMuxedStream]]


def mend() -> None:
    replace(_aiortc_helpers, "wire_pc_to_connection", _listen_on)
    replace(WebRTCConnection, "open_stream", _on_one_that_lives)


def _listen_on(stock: Wire) -> Wire:
    def mended(pc: Any, connection: WebRTCConnection) -> None:
        stock(pc, connection)
        _forget_closed_channels(connection)

        def look() -> None:
            if pc.connectionState in ENDED or pc.sctp.state in ENDED:
                _end(connection)

        pc.on("connectionstatechange", look)
        connection.__dict__["_sctp"] = pc.sctp
        _tell_of_changes(pc.sctp, look)
        look()  # it may have ended before we listened

    return mended


def _tell_of_changes(sctp: Any, look: Callable[[], None]) -> None:
    """Calls `look` on each change of state; aiortc has no event for these."""
    stock = sctp._set_state

    def mended(state: Any) -> None:
        stock(state)
        if sctp.state in ENDED:
            for channel in {channel for channel, *_ in sctp._data_channel_queue if channel.id is None}:
                channel._setReadyState("closed")  # aiortc does so with channels that have their number
        look()

    sctp._set_state = mended  # of this one only


def _on_one_that_lives(stock: Open) -> Open:
    async def mended(self: WebRTCConnection) -> IMuxedStream:
        _require_alive(self)
        stream = await stock(self)
        try:
            _require_alive(self)  # if it ended meanwhile, nothing has closed this stream
        except WebRTCStreamError:
            self.remove_stream(cast("Any", stream).channel_id)
            raise
        return stream

    return mended


def _require_alive(connection: WebRTCConnection) -> None:
    sctp = connection.__dict__.get("_sctp")
    if connection.is_closed or (sctp is not None and sctp.state in ENDED):
        raise WebRTCStreamError("the connection has ended")


def _end(connection: WebRTCConnection) -> None:
    """Ends the connection, from either thread."""
    token = connection._trio_token
    if token is not None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(_close_soon, connection)


def _close_soon(connection: WebRTCConnection) -> None:
    if not connection.is_closed:
        trio.lowlevel.spawn_system_task(_close, connection)


async def _close(connection: WebRTCConnection) -> None:
    connection._accept_send.close()  # the swarm waits for streams there, and learns of the end by it
    with trio.move_on_after(CLOSE_SECONDS):
        try:
            await connection.close()
        except Exception as error:  # noqa: BLE001  a broken connection may fail to close in any way
            _log.debug("libp2p.close_failed", error=repr(error))


def _forget_closed_channels(connection: WebRTCConnection) -> None:
    channels = inspect.getclosurevars(connection._send_on_channel_cb).nonlocals["channels"]
    stock = connection.on_channel_closed

    def mended(channel_id: int) -> None:
        channels.pop(channel_id, None)
        stock(channel_id)

    connection.on_channel_closed = mended  # type: ignore[method-assign]  # of this one only
