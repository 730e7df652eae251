"""A websocket that the other side has closed must be closed here too.

The fault: of every connection that we dialled over ws or wss, and that the peer closed, the socket stays open; in the
end no file can be opened any more. Why: trio-websocket's `aclose()` does nothing once the other side has sent its close
frame, and on the side that dialled no other code closes the socket. Where: `P2PWebSocketConnection.close`.

The cure: the socket is closed, whether or not the close frames were exchanged.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from libp2p.transport.websocket.connection import P2PWebSocketConnection

from pinning_worker.adapters.p2p.cures.once import replace

Close = Callable[[P2PWebSocketConnection], Awaitable[None]]


def mend() -> None:
    replace(P2PWebSocketConnection, "close", _with_its_socket)


def _with_its_socket(stock: Close) -> Close:
    async def mended(self: P2PWebSocketConnection) -> None:
        try:
            await stock(self)
        finally:
            with trio.CancelScope(shield=True):  # a forceful close does not wait
                await trio.aclose_forcefully(self._ws_connection._stream)

    return mended
