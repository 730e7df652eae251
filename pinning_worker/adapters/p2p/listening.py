"""Listening on every address that was asked for, or a clear refusal.

py-libp2p starts a host whose ports are all busy as if nothing were wrong, with no addresses. Here each address is
looked for after the start, and the reason for a missing one is asked of the kernel.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from libp2p.network.swarm import Swarm
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.addresses import socket_of
from pinning_worker.adapters.p2p.errors import CannotListen


async def listen(swarm: Swarm, addresses: Iterable[Multiaddr]) -> None:
    """Raises CannotListen, naming the first address that is not to be had."""
    wanted = list(addresses)
    await swarm.listen(*wanted)
    for address in wanted:
        listener = swarm.listeners.get(str(address))
        if listener is None or not listener.get_addrs():
            raise CannotListen(f"cannot listen on {address}: {_reason(address)}")
    swarm.listeners = {str(address): swarm.listeners[str(address)] for address in wanted}  # told in the order asked for


def _reason(address: Multiaddr) -> str:
    ip, port = socket_of(address)
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ip, port))
            probe.listen(1)
        except OSError as error:
            return (
                f"{error.strerror} (is another worker running?)"
                if error.errno == errno.EADDRINUSE
                else str(error.strerror)
            )
    return "the library refused it without a reason"
