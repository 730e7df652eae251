"""A host must be able to dial its thousand-and-first websocket.

The fault: after 1000 successful dials over ws or wss every other one fails with "Maximum connections reached", with
none open; and the 1000 stay in memory. Why: the transport counts the connections that it has dialled, and nothing
removes one that has ended. Where: `WebsocketTransport._track_connection`.

The cure: the transport counts none. The swarm has a limit of its own, for all transports together.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from libp2p.transport.websocket.connection import P2PWebSocketConnection
from libp2p.transport.websocket.transport import WebsocketTransport

from pinning_worker.adapters.p2p.cures.once import replace

Track = Callable[[WebsocketTransport, P2PWebSocketConnection], Awaitable[None]]


def mend() -> None:
    replace(WebsocketTransport, "_track_connection", _count_none)


def _count_none(_stock: Track) -> Track:
    async def mended(self: WebsocketTransport, conn: P2PWebSocketConnection) -> None: ...

    return mended
