"""Multiaddrs: reading what people write, and what of a listening socket to tell the world.

A worker that listens on 0.0.0.0 is reached on the addresses of its interfaces; what it announces is those, or, behind
a router or a proxy, what the operator says. Spec: https://github.com/multiformats/multiaddr.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from libp2p.peer.id import ID
from libp2p.peer.peerinfo import InvalidAddrError, PeerInfo, info_from_p2p_addr
from libp2p.utils.address_validation import get_available_interfaces
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from pinning_worker.adapters.p2p.errors import BadAddress

_ANY = {"0.0.0.0": "ip4", "::": "ip6"}  # noqa: S104  read, not bound


def parse(text: str) -> Multiaddr:
    """Raises BadAddress."""
    try:
        return Multiaddr(text)
    except (MultiaddrError, ValueError, KeyError, IndexError) as error:
        raise BadAddress(f"{text!r} is not a multiaddr (one looks like /ip4/127.0.0.1/tcp/4001)") from error


def parse_listen(text: str) -> Multiaddr:
    """A multiaddr to listen on: `/ip4/…/tcp/…` or `/ip6/…/tcp/…`, with or without `/ws`. Raises BadAddress."""
    address = parse(text)
    names = [protocol.name for protocol in address.protocols()]
    if len(names) not in (2, 3) or names[0] not in ("ip4", "ip6") or names[1] != "tcp" or names[2:] not in ([], ["ws"]):
        raise BadAddress(f"cannot listen on {text}: it must be /ip4/…/tcp/PORT or /ip6/…/tcp/PORT, or that with /ws")
    return address


def parse_peer(text: str) -> PeerInfo:
    """A multiaddr that names its peer, `…/p2p/12D3…`. Raises BadAddress."""
    try:
        info = info_from_p2p_addr(parse(text))
    except (InvalidAddrError, MultiaddrError, ValueError) as error:
        raise BadAddress(f"{text} does not end in /p2p/ and a peer id") from error
    if not info.addrs or not str(info.addrs[0]):
        raise BadAddress(f"{text} says who, but not where")
    return info


def parse_peer_id(text: str) -> ID:
    """Raises BadAddress."""
    try:
        return ID.from_string(text)
    except ValueError as error:
        raise BadAddress(f"{text!r} is not a peer id") from error


def socket_of(address: Multiaddr) -> tuple[str, int]:
    """(IP address, port) of a multiaddr to listen on."""
    kind = "ip4" if "ip4" in {protocol.name for protocol in address.protocols()} else "ip6"
    return str(address.value_for_protocol(kind)), int(address.value_for_protocol("tcp"))


def reachable(listening: Iterable[Multiaddr]) -> list[Multiaddr]:
    """Those addresses, with 0.0.0.0 and :: replaced by what our interfaces have, each once."""
    found: dict[str, Multiaddr] = {}
    for address in listening:
        for one in _expanded(str(address)):
            found.setdefault(str(one), one)
    return list(found.values())


@functools.lru_cache(maxsize=64)  # asked for with every message published; interfaces rarely change under a worker
def _expanded(address: str) -> tuple[Multiaddr, ...]:
    ip, port = socket_of(Multiaddr(address))
    if ip not in _ANY:
        return (Multiaddr(address),)
    _, _, tail = address.partition(f"/tcp/{port}")
    interfaces = (str(interface) for interface in get_available_interfaces(port))
    return tuple(Multiaddr(each + tail) for each in interfaces if each.startswith(f"/{_ANY[ip]}/"))
