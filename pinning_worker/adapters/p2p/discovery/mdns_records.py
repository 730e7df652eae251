"""The mDNS record of a peer: one TXT record of strings `dnsaddr=/ip4/…/tcp/…/p2p/PEER`.

Spec: https://github.com/libp2p/specs/blob/master/discovery/mdns.md. js-libp2p makes a record of each string; one after
another they read the same. Anybody in the network may send anything: reading is bounded, and proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from pinning_worker.adapters.p2p.addresses import parse_peer
from pinning_worker.adapters.p2p.errors import BadAddress
from pinning_worker.adapters.p2p.peer_ids import peer_id
from pinning_worker.domain.identities import PeerId

KEY = b"dnsaddr="
LONGEST = 255  # of a string: its length is one byte
MOST_TOLD = 8  # js-libp2p wants all in one packet
MOST_READ = 32


def encode_txt(addresses: Iterable[str]) -> bytes:
    """The record of multiaddrs that end in /p2p/…: the first MOST_TOLD that are not too long."""
    strings = [KEY + address.encode() for address in addresses]
    fitting = [string for string in strings if len(string) <= LONGEST]
    return b"".join(bytes([len(string)]) + string for string in fitting[:MOST_TOLD])


def decode_txt(txt: bytes) -> dict[PeerId, list[str]]:
    """The addresses of each peer named in the first MOST_READ strings; other strings are left out."""
    found: dict[PeerId, list[str]] = {}
    for string in _strings(txt)[:MOST_READ]:
        if not string.startswith(KEY):
            continue
        try:
            address = string.removeprefix(KEY).decode()
            peer = peer_id(parse_peer(address).peer_id)
        except (UnicodeDecodeError, BadAddress):
            continue
        found.setdefault(peer, []).append(address)
    return found


def _strings(txt: bytes) -> list[bytes]:
    strings = []
    while txt:
        length = txt[0]
        strings.append(txt[1 : 1 + length])
        txt = txt[1 + length :]
    return strings
