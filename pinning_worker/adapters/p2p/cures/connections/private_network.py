"""Private networks must interoperate with those of js-libp2p and Kubo.

The fault: two py-libp2p hosts with one swarm key understand each other and no other implementation. Why: the stream is
encrypted with Salsa20 under a nonce of 8 bytes; the specification requires XSalsa20 under 24. Where:
`libp2p.security.pnet.psk_conn`, by way of `libp2p.network.swarm.new_protected_conn`.

The cure: a connection of our own (`host/protected_connection.py`).

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libp2p.network import swarm
from libp2p.network.connection.raw_connection import RawConnection

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.host.protected_connection import ProtectedConnection

Protect = Callable[[Any, str], RawConnection]


def mend() -> None:
    replace(swarm, "new_protected_conn", _with_the_specified_cipher)


def _with_the_specified_cipher(_stock: Protect) -> Protect:
    return lambda connection, key: ProtectedConnection(connection, bytes.fromhex(key))
