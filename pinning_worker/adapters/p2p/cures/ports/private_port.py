"""A private network must work on a port that tcp and ws share.

The fault: a dialler that comes to such a port over tcp is closed at once. Why: the port tells tcp, ws and wss apart by
their first three bytes, and in a private network those of tcp are a random nonce. Where: `cmux.identify_conn_type`.

The cure: at the ports that were announced as private, any connection that is neither HTTP nor TLS is tcp. One nonce in
1 300 000 looks like HTTP or TLS and is refused; the dialler dials again.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from weakref import WeakSet

import trio
from libp2p.transport import cmux
from libp2p.transport.cmux import DemultiplexedConnType, PortDemultiplexer

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.cures.ports import half_open

_private_ports: WeakSet[PortDemultiplexer] = WeakSet()
_at_a_private_port = ContextVar("at_a_private_port", default=False)  # each connection is a task of its own

Route = Callable[[PortDemultiplexer, trio.abc.Stream], Awaitable[None]]
Identify = Callable[[bytes], DemultiplexedConnType]

AFTER = (half_open,)  # the whole way of a connection knows its port


def mend() -> None:
    replace(PortDemultiplexer, "_classify_and_route", _knowing_the_port)
    replace(cmux, "identify_conn_type", _nonces_are_tcp)


def is_private(port: PortDemultiplexer) -> None:
    """From now on this port is one of a private network."""
    _private_ports.add(port)


def _knowing_the_port(stock: Route) -> Route:
    async def mended(self: PortDemultiplexer, stream: trio.abc.Stream) -> None:
        _at_a_private_port.set(self in _private_ports)
        await stock(self, stream)

    return mended


def _nonces_are_tcp(stock: Identify) -> Identify:
    def mended(prefix: bytes) -> DemultiplexedConnType:
        found = stock(prefix)
        if found is DemultiplexedConnType.UNKNOWN and _at_a_private_port.get():
            return DemultiplexedConnType.MULTISTREAM_SELECT
        return found

    return mended
