"""A connection that is closed must leave the list of connections, even when the caller of `close` stops waiting.

The fault: a peer that we disconnect and that reads nothing any more stays in the list of connections for good, with all
its streams; after `max_connections` of them nobody gets in, and after `max_streams` streams none can be opened. Why:
`close` sends a GO_AWAY first, and waits until it is sent. A deadline that cancels it there leaves the connection marked
as closed and still listed, and a second `close` does nothing. Where: `SwarmConn.close`.

The cure: closing is not cancelled. The GO_AWAY has GO_AWAY_SECONDS; then the wire is cut, and the rest done without it.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.stream_muxer.yamux.yamux import Yamux

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.host.connections import quietly

GO_AWAY_SECONDS = 2.0
REST_SECONDS = 10.0  # it waits for nobody but ourselves

Close = Callable[[SwarmConn], Awaitable[None]]


def mend() -> None:
    replace(SwarmConn, "close", _to_its_end)


def _to_its_end(stock: Close) -> Close:
    async def mended(self: SwarmConn) -> None:
        if self.event_closed.is_set():
            return
        with trio.CancelScope(shield=True):
            with trio.move_on_after(GO_AWAY_SECONDS) as go_away:
                await stock(self)
            if go_away.cancelled_caught:
                await quietly(lambda: _cut(self.muxed_conn), REST_SECONDS)
                await quietly(self._cleanup, REST_SECONDS)

    return mended


async def _cut(connection: Any) -> None:
    if isinstance(connection, Yamux):
        await connection._cleanup_on_error()
    elif (close := getattr(connection, "_close_pc_cb", None)) is not None:  # webrtc
        await connection._bridge.run_coro(close())
