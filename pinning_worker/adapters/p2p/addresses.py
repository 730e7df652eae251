"""Multiaddrs: reading those that people write, and choosing those of a listening socket to announce.

A worker that listens on 0.0.0.0 is reached on the addresses of its interfaces; it announces those, or, behind a router
or a proxy, the addresses that the operator sets. Spec: https://github.com/multiformats/multiaddr.
"""

from __future__ import annotations

import functools
import ipaddress
import time
from collections.abc import Iterable
from dataclasses import dataclass

from libp2p.peer.id import ID
from libp2p.peer.peerinfo import InvalidAddrError, PeerInfo, info_from_p2p_addr
from libp2p.utils.address_validation import get_available_interfaces
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from pinning_worker.adapters.p2p.errors import BadAddress
from pinning_worker.domain.identities import NO_PEER, PeerId

LOOK_SECONDS = 5.0  # between two looks at our interfaces
_ANY = {"0.0.0.0": "ip4", "::": "ip6"}  # noqa: S104  read, not bound
_DIALLED = {("tcp",), ("tcp", "ws"), ("tcp", "wss"), ("tcp", "tls", "ws")}
_LISTENED = {("tcp",), ("tcp", "ws"), ("tcp", "wss"), ("tcp", "tls", "ws"), ("udp", "webrtc-direct")}

_LOCAL_NAMES = (".local", ".localhost", ".lan", ".internal", ".home.arpa", ".test")
_DISGUISES = [
    ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "2002::/16", "2001::/32", "::/96", "::ffff:0:0/96")
]

CIRCUIT = "/p2p-circuit"


@dataclass(frozen=True, slots=True)
class Circuit:
    """Where a peer is reached through a relay."""

    relay_address: Multiaddr
    relay: ID
    peer: ID


def parse(text: str) -> Multiaddr:
    """Raises BadAddress."""
    try:
        address = Multiaddr(text)
    except (MultiaddrError, ValueError, KeyError, IndexError) as error:
        raise BadAddress(f"{text!r} is not a multiaddr (one looks like /ip4/127.0.0.1/tcp/4001)") from error
    if not is_readable(address):
        raise BadAddress(f"{text!r} cannot be read again")
    return address


def is_readable(address: Multiaddr) -> bool:
    """The library accepts some addresses that it cannot read (any bytes; an ip6zone as text), or reads as another, and
    raises in the code that uses them."""
    try:
        return bool(_names(address)) and Multiaddr(str(address)).to_bytes() == address.to_bytes()
    except (MultiaddrError, ValueError, KeyError, IndexError, TypeError):
        return False


def parse_listen(text: str) -> Multiaddr:
    """A multiaddr to listen on: an IP address, then one of _LISTENED with a port. Raises BadAddress."""
    address = parse(text)
    names = _names(address)
    if names[:1] not in (["ip4"], ["ip6"]) or tuple(names[1:]) not in _LISTENED:
        raise BadAddress(
            f"cannot listen on {text}: it must be /ip4/… or /ip6/…, then /tcp/PORT, /tcp/PORT/ws, /tcp/PORT/tls/ws "
            "or /udp/PORT/webrtc-direct"
        )
    return address


def is_tcp(address: Multiaddr) -> bool:
    """tcp, and the protocols over it (ws, wss)."""
    return "tcp" in _names(address)


def is_wss(address: Multiaddr) -> bool:
    return not {"tls", "wss"}.isdisjoint(_names(address))


def is_webrtc(address: Multiaddr) -> bool:
    return "webrtc-direct" in _names(address)


def parse_peer(text: str) -> PeerInfo:
    """A multiaddr that names its peer, `…/p2p/12D3…`. Raises BadAddress."""
    try:
        info = info_from_p2p_addr(parse(text))
    except (InvalidAddrError, MultiaddrError, ValueError) as error:
        raise BadAddress(f"{text} does not end in /p2p/ and a peer id") from error
    if not info.addrs or not str(info.addrs[0]):
        raise BadAddress(f"{text} says who, but not where")
    return info


def parse_circuit(text: str) -> Circuit | None:
    """None: the address goes through no relay. Raises BadAddress: it goes through two, or does not name its relay or
    its peer."""
    if not is_circuit(text):
        return None
    relay, _, peer = text.partition(CIRCUIT)
    if is_circuit(peer):
        raise BadAddress(f"{text} goes through more than one relay")
    info = parse_peer(relay)
    return Circuit(info.addrs[0], info.peer_id, parse_peer(text).peer_id)


def relay_in(text: str) -> PeerId:
    """The peer id of the relay in `…/p2p/RELAY/p2p-circuit/…`; empty: it goes through none."""
    relay, circuit, _ = text.partition(CIRCUIT)
    return PeerId(relay.rpartition("/p2p/")[2]) if circuit else NO_PEER


def is_circuit(text: str) -> bool:
    return CIRCUIT in text


def socket_of(address: Multiaddr) -> tuple[str, int]:
    """(IP address, port) of a multiaddr to listen on."""
    kind = "ip4" if "ip4" in _names(address) else "ip6"
    return str(address.value_for_protocol(kind)), int(address.value_for_protocol("tcp" if is_tcp(address) else "udp"))


def reachable(listening: Iterable[Multiaddr]) -> list[Multiaddr]:
    """The addresses, with 0.0.0.0 and :: replaced by those of our interfaces, each once."""
    found: dict[str, Multiaddr] = {}
    now = int(time.monotonic() / LOOK_SECONDS)
    for address in listening:
        for one in _expanded(str(address), now):
            found.setdefault(str(one), one)
    return list(found.values())


@functools.lru_cache(maxsize=64)  # called with every message published; interfaces change, and come after the start
def _expanded(address: str, _now: int) -> tuple[Multiaddr, ...]:
    ip, port = socket_of(Multiaddr(address))
    if ip not in _ANY:
        return (Multiaddr(address),)
    interfaces = (str(interface).split("/") for interface in get_available_interfaces(port))
    tail = address.split("/")[3:]
    return tuple(Multiaddr("/".join(["", kind, found, *tail])) for _, kind, found, *_ in interfaces if kind == _ANY[ip])


def worth_dialling(address: str, ours: Iterable[str]) -> bool:
    """May an address that a stranger names be dialled? tcp, ws and wss only, and circuits through relays that may.
    Private addresses only while we are on a private network ourselves; otherwise any peer that can send us a message
    could make us knock on every door of our own network. A name passes here: the dial checks where it leads
    (host/dns_dialling.py). A text that is no address is not dialled either."""
    try:
        if is_circuit(address):
            parse(address)
            relay, _, behind = address.partition(CIRCUIT)
            return relay.rpartition("/")[0].endswith("/p2p") and not is_circuit(behind) and worth_dialling(relay, ours)
        names = _where(address)
    except BadAddress:
        return False
    if tuple(names[1:]) not in _DIALLED:
        return False
    if names[0] in ("dns", "dns4", "dns6"):
        return True
    return names[0] in ("ip4", "ip6") and (_is_global(address) or all_private(ours))


def all_private(ours: Iterable[str]) -> bool:
    """Are none of these addresses on the open internet? A worker behind a proxy may announce nothing but a name."""
    return not any(_is_global(address) or _is_public_name(address) for address in ours)


def is_dialled_by_ip(address: str) -> bool:
    """tcp, ws or wss at an IP address, whether or not it ends in a peer id. Raises BadAddress."""
    names = _where(address)
    return names[:1] in (["ip4"], ["ip6"]) and tuple(names[1:]) in _DIALLED


def _where(address: str) -> list[str]:
    """The protocols of an address, without the /p2p/… at its end. Raises BadAddress."""
    names = _names(parse(address))
    return names[:-1] if names[-1:] == ["p2p"] else names


def _is_global(address: str) -> bool:
    _, kind, value, *_ = address.split("/")
    return kind in ("ip4", "ip6") and is_global_ip(ipaddress.ip_address(value))


def is_global_ip(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the address belongs to one host on the internet. An IPv4 address in an IPv6 disguise does not: a router
    on the way may take it off (RFC 6052, 3056, 4291), and the address behind it would not have passed."""
    if not ip.is_global or ip.is_multicast:
        return False
    return isinstance(ip, ipaddress.IPv4Address) or not any(ip in network for network in _DISGUISES)


def _is_public_name(address: str) -> bool:
    """Is it a name outside the domains that only a local network knows? (RFC 6761, RFC 6762, RFC 8375)"""
    _, kind, name, *_ = address.lower().split("/")
    return kind.startswith("dns") and "." in name and not name.endswith(_LOCAL_NAMES)


def _names(address: Multiaddr) -> list[str]:
    return [protocol.name for protocol in address.protocols()]
