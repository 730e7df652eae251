"""A websocket message of more than 1 MiB must not end the connection.

What happens: js-libp2p sends larger messages in private networks, and the connection dies. Why: trio-websocket takes
1 MiB unless told otherwise, and a listener on a port of its own does not tell it. Where:
`libp2p.transport.websocket.listener`, `serve_websocket(...)`.

The cure: 32 MiB, set where every connection is wrapped, before the first message is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libp2p.transport.websocket.connection import P2PWebSocketConnection

from pinning_worker.adapters.p2p.cures.once import replace

LARGEST_MESSAGE = 32 * 1024 * 1024


def mend() -> None:
    replace(P2PWebSocketConnection, "__init__", _take_large_messages)


def _take_large_messages(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: P2PWebSocketConnection, ws_connection: Any, *args: Any, **kwargs: Any) -> None:
        stock(self, ws_connection, *args, **kwargs)
        ws_connection._max_message_size = LARGEST_MESSAGE

    return mended
