"""Two workers must not share a port without knowing.

The fault: a second worker on the same port starts as if all were well, and the kernel deals connections out between the
two. Why: listeners set SO_REUSEPORT, so that hole punching may dial from the listening port; we punch no holes. Where:
`libp2p.transport.tcp.tcp._set_reuse_flags`.

The cure: listeners set only SO_REUSEADDR (TIME_WAIT does not stop a restart), and IPv6 listeners leave IPv4 alone. A
busy port then fails to bind; the library still starts, with no addresses, and `host/listening.py` catches that.

Upstream: not reported.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import trio
from libp2p.transport.tcp import tcp

from pinning_worker.adapters.p2p.cures.once import replace

SetFlags = Callable[[trio.socket.SocketType], None]


def mend() -> None:
    replace(tcp, "_set_reuse_flags", _only_reuse_address)


def _only_reuse_address(_stock: SetFlags) -> SetFlags:
    def mended(sock: trio.socket.SocketType) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

    return mended
