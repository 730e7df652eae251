"""Streams to a peer that came back on a new connection must open on that one.

The fault: streams to a peer that reconnected go to its old connection until that is found dead, and are lost there or
wait for their deadline (seen: Helia closed and dialled at once; bitswap stood still for 10 s). Why: of several
connections the library takes the one with the most open streams, which is the old one. Where: `Swarm._best_connection`.

The cure: take the newest direct connection; without one, the newest of the others.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libp2p.abc import INetConn
from libp2p.connection_types import ConnectionType
from libp2p.network.swarm import Swarm

from pinning_worker.adapters.p2p.cures.once import replace


def mend() -> None:
    replace(Swarm, "_best_connection", _newest)


def _newest(stock: Callable[[Swarm, list[INetConn]], INetConn]) -> Callable[[Swarm, list[INetConn]], INetConn]:
    def mended(self: Swarm, connections: list[INetConn]) -> INetConn:
        return max(connections, key=_merit)

    return mended


def _merit(connection: Any) -> tuple[bool, float]:
    return connection.get_connection_type() == ConnectionType.DIRECT, connection._created_at
