"""A peer at /tls/ws must be dialled.

The fault: no address `…/tcp/443/tls/ws/p2p/PEER` is ever dialled, "Cannot dial"; in the old notation, `/wss`, it is.
Why: an address that ends in /p2p/ and contains /tls does not count as a websocket's, and the swarm has put /p2p/ at the
end of every address before the transport gets it. Where: `is_valid_websocket_multiaddr`.

The cure: the transport gets the address without its peer, which it does not use.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.websocket.transport import WebsocketTransport
from multiaddr import Multiaddr
from multiaddr.protocols import P_P2P

from pinning_worker.adapters.p2p.cures.once import replace

Dial = Callable[[WebsocketTransport, Multiaddr], Awaitable[RawConnection]]


def mend() -> None:
    replace(WebsocketTransport, "_dial_resolved", _without_the_peer)


def _without_the_peer(stock: Dial) -> Dial:
    async def mended(self: WebsocketTransport, maddr: Multiaddr) -> RawConnection:
        return await stock(self, maddr.decapsulate_code(P_P2P))

    return mended
