"""A connection that is closed must end, whoever gives up waiting for its end.

What happens: who is sent away and takes nothing any more stays in the list of connections for good, with all its
streams; after `max_connections` of them nobody gets in, and after `max_streams` streams none can be opened. Why:
closing says goodbye first, and waits until that is sent. Cancelled there, by a deadline, it has marked the connection
as closed and not taken it off the list, and whoever closes it again is told that it is closed.
Where: `SwarmConn.close`.

The cure: closing is not cancelled. The goodbye has GOODBYE_SECONDS; then the wire is cut, and the rest done without it.

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

GOODBYE_SECONDS = 2.0
REST_SECONDS = 10.0  # it waits for nobody but ourselves

Close = Callable[[SwarmConn], Awaitable[None]]


def mend() -> None:
    replace(SwarmConn, "close", _to_its_end)


def _to_its_end(stock: Close) -> Close:
    async def mended(self: SwarmConn) -> None:
        if self.event_closed.is_set():
            return
        with trio.CancelScope(shield=True):
            with trio.move_on_after(GOODBYE_SECONDS) as goodbye:
                await stock(self)
            if goodbye.cancelled_caught:
                await quietly(lambda: _cut(self.muxed_conn), REST_SECONDS)
                await quietly(self._cleanup, REST_SECONDS)

    return mended


async def _cut(connection: Any) -> None:
    if isinstance(connection, Yamux):
        await connection._cleanup_on_error()
    elif (close := getattr(connection, "_close_pc_cb", None)) is not None:  # webrtc
        await connection._bridge.run_coro(close())
