"""One peer must not keep us from answering the pings of all others.

What happens: js-libp2p pings every ten seconds, and hangs up when no answer comes within some. A peer that opens a
third ping stream while it takes nothing from us keeps everybody's pings waiting, for minutes if it likes, and all
browsers hang up. Besides, each peer that ever pinged is remembered, and who pings on two connections at once, or had
just lost one, may be refused. Why: the streams of all peers are counted under one lock, which is held while a stream
too many is reset. Where: `PingService.handle_ping`.

The cure: each stream is answered by itself. How many a peer may open is bounded elsewhere (stream_limit.py). And who
wants to know hears when an answer begins and ends: a slow line is left to it meanwhile.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from libp2p.abc import IHost, INetStream
from libp2p.host.ping import PingService

from pinning_worker.adapters.p2p.cures.once import replace

Hears = Callable[[str, bool], None]
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
        peer, hears = str(stream.muxed_conn.peer_id), tuple(_heard_by.get(self._host, ()))
        for hear in hears:
            hear(peer, True)
        try:
            await stock(PingService(self._host), stream)
        finally:
            for hear in hears:
                hear(peer, False)

    return mended
