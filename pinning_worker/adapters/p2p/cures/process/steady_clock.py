"""A clock that is set back must not exclude a peer.

The fault: the machine's clock is set back by an hour, and a peer that left the topic a moment ago is neither taken into
the mesh nor asked for an hour; a rate-limited peer stays limited; and streams to a peer that comes back go to its old
connection. Why: the library measures intervals, and which connection is the newest, by the time of day. Where:
gossipsub's back-off and limits, the swarm's connections and the code that counts them.

The cure: those modules have a time of day of their own, which begins with the process and runs evenly.

Upstream: not reported.
"""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any, cast

from libp2p.network import connection_pruner, swarm
from libp2p.network.connection import swarm_connection
from libp2p.pubsub import gossipsub
from libp2p.rcmgr import connection_lifecycle, connection_tracker

MEASURE_BY_IT = (gossipsub, swarm, swarm_connection, connection_pruner, connection_lifecycle, connection_tracker)
_BEGAN = time.time() - time.monotonic()


def mend() -> None:
    for module in MEASURE_BY_IT:
        if isinstance(vars(module).get("time"), ModuleType):
            cast("Any", module).time = _Steady()


def now() -> float:
    """Seconds, as `time.time()` would tell if nobody had set the clock since the process began."""
    return _BEGAN + time.monotonic()


class _Steady:
    """Replaces the module `time`."""

    time = staticmethod(now)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)
