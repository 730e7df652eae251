"""wss on a port that is shared with tcp and ws must be encrypted.

The fault: a TLS handshake on such a port is answered with a websocket's refusal in plain text; an address with
`/tls/ws` is served as `/ws`. Why: the shared port hands a connection that begins like TLS to the listener for wss,
which never unwraps it. Where: `TransportManager._add_listen_addr_shared`.

The cure: the listener unwraps it, with the context of the websocket transport; `half_open` closes diallers that stop
midway.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ssl import SSLContext
from typing import Any

import structlog
import trio
from libp2p.abc import IListener
from libp2p.transport.cmux import DemultiplexedConnType, PortDemultiplexer
from libp2p.transport.manager import TransportManager
from libp2p.transport.websocket.connection import P2PWebSocketConnection
from multiaddr import Multiaddr
from trio_websocket import ConnectionClosed, HandshakeError, wrap_server_stream

from pinning_worker.adapters.p2p.cures.once import replace

MOST_BUFFERED = 4 * 1024 * 1024
HANDSHAKE_FAULTS = (
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
    HandshakeError,
    ConnectionClosed,
    OSError,
)

_log = structlog.get_logger(__name__)

Handler = Callable[[Any], Awaitable[None]]
Add = Callable[[TransportManager, Multiaddr, list[str], Any, Handler, PortDemultiplexer], IListener | None]


def mend() -> None:
    replace(TransportManager, "_add_listen_addr_shared", _unwrap_tls)


def _unwrap_tls(stock: Add) -> Add:
    def mended(
        self: TransportManager,
        address: Multiaddr,
        protocols: list[str],
        transport: Any,
        handler: Handler,
        port: PortDemultiplexer,
    ) -> IListener | None:
        if "wss" not in protocols and "tls" not in protocols:
            return stock(self, address, protocols, transport, handler, port)
        context: SSLContext | None = transport._tls_server_config
        if context is None:
            return None
        if port.has_listener(DemultiplexedConnType.TLS):
            return port.get_listener(DemultiplexedConnType.TLS)

        async def serve(stream: trio.abc.Stream) -> None:
            await _serve(stream, context, handler)

        return port.demultiplexed_listen(address, DemultiplexedConnType.TLS, conn_handler=serve)

    return mended


async def _serve(stream: trio.abc.Stream, context: SSLContext, handler: Handler) -> None:
    encrypted = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    try:
        await encrypted.do_handshake()  # first, for trio-websocket does not notice that it failed
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, encrypted)
            websocket = await request.accept()
            await handler(P2PWebSocketConnection(websocket, is_secure=True, max_buffered_amount=MOST_BUFFERED))
            nursery.cancel_scope.cancel()
    except* HANDSHAKE_FAULTS as faults:  # a stranger's handshake ends that connection only
        _log.debug("libp2p.tls_refused", error=repr(faults.exceptions[0]))
    finally:
        await trio.aclose_forcefully(stream)
