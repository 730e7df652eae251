"""One peer must not keep us from answering the pings of all others.

The fault: js-libp2p pings every ten seconds, and disconnects when no answer comes within some. A peer that opens a
third ping stream while it takes nothing from us keeps the pings of all peers waiting, for minutes if it likes, and all
browsers disconnect. Besides, each peer that ever pinged is remembered, and a peer that pings on two connections at
once, or had just lost one, may be refused. Why: the streams of all peers are counted under one lock, which is held
while a stream too many is reset. Where: `PingService.handle_ping`.

The cure: each stream is answered by itself. stream_limit.py bounds how many a peer may open. Listeners learn when an
answer begins and ends, so that they leave a slow line to it meanwhile.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from libp2p.abc import IHost, INetStream
from libp2p.host.ping import PingService

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.peer_ids import remote_peer
from pinning_worker.domain.identities import PeerId

Hears = Callable[[PeerId, bool], None]
"""A peer id, and whether a stream of its pings opened (or ended)."""

_heard_by: WeakKeyDictionary[IHost, list[Hears]] = WeakKeyDictionary()

Handle = Callable[[PingService, INetStream], Awaitable[None]]


def mend() -> None:
    replace(PingService, "handle_ping", _by_itself)


def tell(host: IHost, hears: list[Hears]) -> None:
    """From now on each of `hears` is called; the list may change."""
    _heard_by[host] = hears


def _by_itself(stock: Handle) -> Handle:
    async def mended(self: PingService, stream: INetStream) -> None:
        peer, hears = remote_peer(stream), tuple(_heard_by.get(self._host, ()))
        for hear in hears:
            hear(peer, True)
        try:
            await stock(PingService(self._host), stream)
        finally:
            for hear in hears:
                hear(peer, False)

    return mended
