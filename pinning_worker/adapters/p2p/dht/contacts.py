"""Peers in DHT messages: their ids and addresses, and their distance from a key.

Everything here comes from strangers: it is read within limits, and unreadable parts are left out.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from pinning_worker.adapters.p2p.addresses import is_readable
from pinning_worker.adapters.p2p.peer_ids import library_id, peer_id
from pinning_worker.domain.identities import PeerId

CLOSEST = 20  # k: the number of peers that keep a record, and that an answer names
MOST_ADDRESSES = 8
LONGEST_ADDRESS = 256
_SHA256 = b"\x12\x20"  # how the peer id of a long key (RSA) begins
LONGEST_KEY = 128


class BadMessage(ValueError):
    """Not a DHT message, or not one that makes sense."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer id, and multiaddrs without their `/p2p/…` end."""

    peer: PeerId
    addresses: tuple[str, ...] = ()

    @property
    def place(self) -> int:
        return place_of(binary_id(self.peer))


def place_of(key: bytes) -> int:
    """The place of a key, or of a peer's binary id, in the space in which distances are taken (XOR)."""
    return int.from_bytes(hashlib.sha256(key).digest(), "big")


@functools.lru_cache(maxsize=8192)  # base58 is slow, and an answer names twenty
def binary_id(peer: PeerId) -> bytes:
    return library_id(peer).to_bytes()


@functools.lru_cache(maxsize=8192)
def _binary_address(address: str) -> bytes:
    binary: bytes = Multiaddr(address).to_bytes()
    return binary


def read_message(data: bytes | memoryview) -> Message:
    """Raises BadMessage."""
    message = Message()
    try:
        message.ParseFromString(bytes(data))
    except DecodeError as error:
        raise BadMessage("not a DHT message") from error
    if len(message.key) > LONGEST_KEY:
        raise BadMessage(f"a key of {len(message.key)} bytes")
    return message


def read_contacts(peers: Iterable[Message.Peer]) -> list[Contact]:
    """The first CLOSEST of them, each once, without the unreadable ones."""
    found: dict[PeerId, Contact] = {}
    for _, said in zip(range(CLOSEST), peers, strict=False):
        if _is_peer_id(said.id):
            peer = peer_id(ID(said.id))
            found.setdefault(peer, Contact(peer, tuple(_read_addresses(said.addrs, peer))))
    return list(found.values())


def write_contact(into: Message.Peer, contact: Contact, *, connected: bool) -> None:
    into.id = binary_id(contact.peer)
    into.connection = Message.CONNECTED if connected else Message.CAN_CONNECT
    into.addrs.extend(_binary_address(address) for address in contact.addresses[:MOST_ADDRESSES])


def _is_peer_id(data: bytes) -> bool:
    """The hash of a public key, or the key itself if it has at most 42 bytes. As text these begin with Qm or 1; the
    text of other bytes may be read as multibase, and so as another peer."""
    if data[:1] == b"\0":
        return 2 < len(data) <= 44 and data[1] == len(data) - 2
    return data[:2] == _SHA256 and len(data) == 34


def _read_addresses(addresses: Iterable[bytes], peer: PeerId) -> list[str]:
    texts = []
    for _, data in zip(range(MOST_ADDRESSES), addresses, strict=False):
        if len(data) <= LONGEST_ADDRESS:
            try:
                address = Multiaddr(data)
            except (MultiaddrError, ValueError, KeyError, IndexError):
                continue
            if is_readable(address):  # else an answer that contains it could not be written
                texts.append(str(address).removesuffix(f"/p2p/{peer}"))
    return texts
