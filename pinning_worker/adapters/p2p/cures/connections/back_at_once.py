"""A peer that comes back while we close its old connection must be known to be here.

The fault: a peer that connects anew while its old connection is being closed is connected and not listed: it gets no
messages, counts nowhere, and is never closed. Why: after closing all connections to a peer, the library takes every
connection then listed for it off the list, closed or not. Where: `Swarm.close_peer`.

The cure: closing takes only the closed connections off the list, as each of them does anyhow.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.cures.once import replace

_log = structlog.get_logger(__name__)


def mend() -> None:
    replace(Swarm, "close_peer", _those_that_are_there)


def _those_that_are_there(_stock: Callable[[Swarm, ID], Awaitable[None]]) -> Callable[[Swarm, ID], Awaitable[None]]:
    async def mended(self: Swarm, peer: ID) -> None:
        for connection in self.get_connections(peer):
            try:
                await connection.close()
            except Exception as error:  # noqa: BLE001  a broken connection may fail to close in any way
                _log.debug("libp2p.close_failed", error=repr(error))

    return mended
