"""The library's log must not be a stranger's way to our disk and console.

The fault: a peer that sends garbage makes the library log at ERROR with tracebacks; some of its modules log through the
root logger, which installs a console handler on the way. Where: everywhere;
`libp2p.network.connection.swarm_connection` calls `logging.warning(...)` itself.

The cure: the library's loggers speak at CRITICAL only, and that module gets a logger of its own. Our code counts and
logs what matters. Under LIBP2P_DEBUG, the library's own switch, the levels stay as they are.

Upstream: not reported.
"""

from __future__ import annotations

import logging
import os
from typing import Any, cast

from libp2p.network.connection import swarm_connection

NOISY = ("libp2p", "trio-websocket")


def mend() -> None:
    # Of `logging` the module uses only names that a logger has too: debug, info, warning.
    cast("Any", swarm_connection).logging = logging.getLogger("libp2p.network.connection")
    if "LIBP2P_DEBUG" not in os.environ:
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
