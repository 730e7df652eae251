"""Who comes back while we hang up must be known to be here.

What happens: a peer that connects anew in the moment in which its old connection is being closed is there and is not:
it is told nothing, counted nowhere, and never closed. Why: when all connections to a peer have been closed, whatever is
listed for it then is taken off the list, closed or not. Where: `Swarm.close_peer`.

The cure: closing takes off the list what was closed, as it does anyhow.

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
            except Exception as error:  # noqa: BLE001  what is broken may fail to close in any way
                _log.debug("libp2p.close_failed", error=repr(error))

    return mended
