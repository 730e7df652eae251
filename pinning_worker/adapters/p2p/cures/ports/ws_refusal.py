"""A web server that we dialled by mistake must not end the process.

The fault: a server that answers our websocket handshake with an ordinary HTTP answer (403, 404, a proxy's 502) ends the
whole host; and strangers name addresses that we dial. Why: the refusal is raised in the task that reads, which runs in
the swarm's nursery. Where: `trio_websocket.WebSocketConnection._reader_task`, started by `WebsocketTransport.dial`.

The cure: on the side that dialled, any exception of the reading task ends that connection, and the dial fails.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio
from trio_websocket import WebSocketConnection

from pinning_worker.adapters.p2p.cures.once import replace

_log = structlog.get_logger(__name__)

Read = Callable[[WebSocketConnection], Awaitable[None]]


def mend() -> None:
    replace(WebSocketConnection, "_reader_task", _fail_alone)


def _fail_alone(stock: Read) -> Read:
    async def mended(self: WebSocketConnection) -> None:
        if self.is_server:
            return await stock(self)
        try:
            await stock(self)
        except Exception as error:  # noqa: BLE001  whatever a stranger answers ends this connection only
            _log.debug("libp2p.websocket_refused", error=repr(error))
            await self._abort_web_socket()
            await trio.aclose_forcefully(self._stream)
        finally:
            self._open_handshake.set()  # the dial waits for it, and no other code will set it
        return None

    return mended
