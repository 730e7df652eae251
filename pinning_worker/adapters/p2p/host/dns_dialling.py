"""Dialling one address that may be a name, as in /dns4/pin.example.org/tcp/4001.

Names are looked up as this machine does it, /etc/hosts included; the library would ask DNS servers itself. A tcp
address is then dialled by number; ws and wss by name, which a proxy and a certificate need, and yet at the numbers
found (dns_rebinding.py).

A stranger's name shows only now where it leads: `public_only` forbids addresses in our own network.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import cast

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.addresses import is_global_ip
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.dns_rebinding import leading_to

MOST_NUMBERS = 4  # of one name
_FAMILIES = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}


async def dial(swarm: Swarm, address: Multiaddr, peer: ID, *, public_only: bool = False) -> SwarmConn:
    """A new connection. Raises CannotConnect, and the exceptions of the library and the system."""
    _, kind, name, transport, port, *rest = str(address).split("/")
    if kind not in _FAMILIES:
        return await _dial(swarm, [address], peer)
    numbers = await _look_up(name, int(port), _FAMILIES[kind])
    if not numbers:
        raise CannotConnect(f"nobody has the name in {address}")
    if public_only and not all(is_global_ip(ip_address(number)) for number in numbers):
        raise CannotConnect(f"{name} leads into a private network")
    if rest:
        with leading_to(numbers):
            return await _dial(swarm, [address], peer)
    places = [Multiaddr(f"/ip{6 if ':' in number else 4}/{number}/{transport}/{port}") for number in numbers]
    return await _dial(swarm, places, peer)


async def _dial(swarm: Swarm, places: Sequence[Multiaddr], peer: ID) -> SwarmConn:
    """Tries one after the other, until one answers."""
    *others, last = places
    for place in others:
        try:
            return cast("SwarmConn", await swarm.dial_addr(place, peer))
        except (BaseLibp2pError, OSError):
            continue
    return cast("SwarmConn", await swarm.dial_addr(last, peer))


async def _look_up(name: str, port: int, family: int) -> list[str]:
    try:
        found = await trio.socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
    except OSError as error:
        raise CannotConnect(f"{name}: {error.strerror or error}") from error
    return list(dict.fromkeys(str(where[0]) for *_, where in found))[:MOST_NUMBERS]
