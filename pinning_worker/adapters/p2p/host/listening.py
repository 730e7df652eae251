"""Listening on every configured address, or a clear refusal.

All of tcp, ws and wss that name the same IP address and port share one socket: the first three bytes tell them apart. A
port alone goes through the same code, so that `on_port` sees every port. IPv4 and IPv6 may use the same port number:
their sockets are two.

py-libp2p starts a host whose ports are all busy as if nothing were wrong, with no addresses. This module looks for each
address after the start, and finds the reason for a missing one by a bind of its own.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable

from libp2p.network.swarm import Swarm
from libp2p.transport.cmux import PortDemultiplexer
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.addresses import is_tcp, socket_of
from pinning_worker.adapters.p2p.errors import CannotListen


async def listen(swarm: Swarm, addresses: Iterable[Multiaddr], on_port: Callable[[PortDemultiplexer], None]) -> None:
    """`on_port` is called with each port for tcp, ws and wss before it listens.

    Raises CannotListen, naming the first address that is not available.
    """
    wanted = list(addresses)
    await _open_ports(swarm, [address for address in wanted if is_tcp(address)], on_port)
    await swarm.listen(*wanted)
    for address in wanted:
        listener = swarm.listeners.get(str(address))
        if listener is None or not listener.get_addrs():
            raise CannotListen(f"cannot listen on {address}: {_reason(address)}")
    swarm.listeners = {str(address): swarm.listeners[str(address)] for address in wanted}  # in the configured order


async def _open_ports(
    swarm: Swarm, addresses: Iterable[Multiaddr], on_port: Callable[[PortDemultiplexer], None]
) -> None:
    await swarm.event_background_nursery_created.wait()
    ports = swarm.transport_manager._port_demuxers
    ports.clear()
    for address in addresses:
        ip, number = socket_of(address)
        if (ip, number) not in ports:
            port = ports[ip, number] = PortDemultiplexer(ip, number)
            port.background_nursery = swarm.background_nursery  # type: ignore[attr-defined]  # the swarm does it so
            on_port(port)
            try:
                await port.listen(address)
            except OpenConnectionError as error:
                raise CannotListen(f"cannot listen on {address}: {_reason(address)}") from error


def _reason(address: Multiaddr) -> str:
    ip, port = socket_of(address)
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if is_tcp(address) else socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ip, port))
            if is_tcp(address):
                probe.listen(1)
        except OSError as error:
            return (
                f"{error.strerror} (is another worker running?)"
                if error.errno == errno.EADDRINUSE
                else str(error.strerror)
            )
    return "the library refused it without a reason"
