"""The local networks that this machine is on: private addresses of its interfaces, each with its network.

Excluded are the loopback, whose peers are this machine's own affair; a provider's public network; and link-local IPv6,
which is dialled by interface, and a multiaddr names none.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

import ifaddr
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.addresses import is_dialled_by_ip

Interface = IPv4Interface | IPv6Interface
_ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104  read, not bound


def local_interfaces() -> frozenset[Interface]:
    """As they are now."""
    found = (_interface(one) for adapter in ifaddr.get_adapters() for one in adapter.ips)
    return frozenset(one for one in found if _is_local(one))


def is_near(address: str, interfaces: Iterable[Interface]) -> bool:
    """Is that multiaddr a dialable one (tcp, ws) within one of those networks? Raises BadAddress."""
    if not is_dialled_by_ip(address):
        return False
    ip = ip_address(address.split("/")[2])
    return any(ip in one.network for one in interfaces)


def near_addresses(listening: Iterable[Multiaddr], interfaces: Iterable[Interface]) -> list[str]:
    """The addresses at which peers in a shared network reach us: tcp first, then ws."""
    here = sorted(interfaces, key=lambda one: (one.version, int(one.ip)))
    found = [text for address in listening for text in _at(str(address), here)]
    return sorted(dict.fromkeys(found), key=lambda text: text.endswith("/ws"))


def _at(address: str, interfaces: Iterable[Interface]) -> list[str]:
    _, _, ip, *tail = address.split("/")
    if tail[0] != "tcp" or tail[2:] not in ([], ["ws"]):  # no /tls/ws: no certificate is for such an address
        return []
    matching = (one for one in interfaces if ip in (_ANY[one.version], str(one.ip)))
    return ["/".join(["", f"ip{one.version}", str(one.ip), *tail]) for one in matching]


def _interface(one: ifaddr.IP) -> Interface:
    ip = one.ip if isinstance(one.ip, str) else one.ip[0]
    return ip_interface(f"{ip}/{one.network_prefix}")


def _is_local(one: Interface) -> bool:
    ip = one.ip
    if ip.is_global or ip.is_loopback or ip.is_multicast or ip.is_unspecified:
        return False
    return ip.version == 4 or not ip.is_link_local
