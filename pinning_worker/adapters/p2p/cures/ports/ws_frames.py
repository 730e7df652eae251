"""A websocket is a stream of bytes here: a peer's message boundaries must neither end the connection nor cost memory.

The fault: js-libp2p sends messages of more than 1 MiB in private networks, and the connection dies. On a port that
takes 32 MiB, a stranger who begins such a message and never ends it makes the worker hold all of it, before the peer is
known: 64 of them, 2 GiB. Why: trio-websocket hands over whole messages only, and takes 1 MiB by default. Where:
`WebSocketConnection._handle_message_event`; `serve_websocket(...)` in `libp2p.transport.websocket.listener`.

The cure: a message's bytes are handed over as soon as there are PIECE of them, or it ends. So a message may be as long
as it likes, and one connection holds two pieces, however small its frames are. Of small frames AT_ONCE are taken in one
turn of the event loop. This holds for the library's connections only: Electrum's need messages.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from libp2p.transport.websocket.connection import P2PWebSocketConnection
from trio_websocket import WebSocketConnection

from pinning_worker.adapters.p2p.cures.once import replace

PIECE = 64 * 1024
AT_ONCE = 32

Handler = Callable[[Any, Any], Awaitable[None]]


def mend() -> None:
    replace(P2PWebSocketConnection, "__init__", _as_bytes)
    replace(WebSocketConnection, "_handle_message_event", _hand_over_pieces)


def _as_bytes(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: P2PWebSocketConnection, ws_connection: Any, *args: Any, **kwargs: Any) -> None:
        stock(self, ws_connection, *args, **kwargs)
        ws_connection.__dict__["_of_libp2p"] = True

    return mended


def _hand_over_pieces(stock: Handler) -> Handler:
    async def mended(self: WebSocketConnection, event: Any) -> None:
        if not self.__dict__.get("_of_libp2p"):
            return await stock(self, event)
        parts: list[Any] = self._message_parts
        if not parts:
            parts.append(bytearray())  # a byte in an object of its own takes forty
        [held] = parts
        held += event.data.encode() if isinstance(event.data, str) else event.data
        await _now_and_then(self)
        if not held or (len(held) < PIECE and not event.message_finished):
            return None
        self._message_parts = []
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError):  # its reader is gone
            await self._send_channel.send(bytes(held))
        return None

    return mended


async def _now_and_then(self: WebSocketConnection) -> None:
    """Gives all other tasks a turn: a second holds a hundred thousand frames."""
    taken = self.__dict__["_taken"] = self.__dict__.get("_taken", 0) + 1
    if taken % AT_ONCE == 0:
        await trio.lowlevel.checkpoint()
