"""One peer must not hold more than its share of open streams.

The fault: a peer that opens streams and never closes them holds as many as the whole host may have, and then nobody
else can open one. Why: the library counts streams in total only. Where: `SwarmConn._handle_muxed_stream`.

The cure: a host for which `set_limit` was called resets at once what a peer opens beyond it, over all its connections
together. The streams that we open ourselves are not counted.

Upstream: not reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

import structlog
import trio
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.cures.process import crash

RESET_SECONDS = 5.0

_log = structlog.get_logger(__name__)
_limits: WeakKeyDictionary[Swarm, int] = WeakKeyDictionary()
_open: WeakKeyDictionary[Swarm, Counter[ID]] = WeakKeyDictionary()

Handler = Callable[[SwarmConn, Any], Awaitable[None]]

AFTER = (crash,)  # a stream over the limit never comes to the guarded handler


def mend() -> None:
    replace(SwarmConn, "_handle_muxed_stream", _count)


def set_limit(swarm: Swarm, streams: int) -> None:
    """So many streams may each peer have open towards us."""
    _limits[swarm] = streams


def _count(stock: Handler) -> Handler:
    async def mended(self: SwarmConn, muxed_stream: Any) -> None:
        limit = _limits.get(self.swarm)
        if limit is None:
            return await stock(self, muxed_stream)
        peer, streams = self.muxed_conn.peer_id, _open.setdefault(self.swarm, Counter())
        if streams[peer] >= limit:
            _log.debug("libp2p.too_many_streams", peer=str(peer))
            with trio.move_on_after(RESET_SECONDS):
                await muxed_stream.reset()
            return None
        streams[peer] += 1
        try:
            return await stock(self, muxed_stream)
        finally:
            streams[peer] -= 1
            if streams[peer] <= 0:
                del streams[peer]

    return mended
