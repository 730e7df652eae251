"""The record of a peer on the discovery topic, as `@libp2p/pubsub-peer-discovery` writes it.

    message Peer { bytes publicKey = 1; repeated bytes addrs = 2; }

`publicKey` is the libp2p PublicKey protobuf, `addrs` are binary multiaddrs. Anybody may send anything here: reading is
bounded, and a record proves nothing about the sender until the message's signature names the same peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libp2p.crypto.keys import PublicKey
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from pinning_worker.adapters.p2p.peer_ids import peer_id
from pinning_worker.domain.content.cid import encode_varint
from pinning_worker.domain.content.protobuf import BYTES, BadProtobuf, fields
from pinning_worker.domain.identities import PeerId

MOST_ADDRESSES = 16
LARGEST = 8 * 1024


class BadPeerRecord(ValueError):
    """Not a Peer message."""


@dataclass(frozen=True, slots=True)
class Found:
    """A peer and the addresses that it claims, without its own `/p2p/…` at the end."""

    peer: PeerId
    addresses: tuple[str, ...]


def encode_peer(public_key: PublicKey, addresses: Sequence[Multiaddr]) -> bytes:
    """The Peer message of that key, with the first MOST_ADDRESSES addresses."""
    parts = [_field(1, public_key.serialize())]
    parts += [_field(2, address.to_bytes()) for address in addresses[:MOST_ADDRESSES]]
    return b"".join(parts)


def decode_peer(message: bytes) -> Found:
    """Raises BadPeerRecord. It leaves out addresses that this library cannot read, and all after MOST_ADDRESSES."""
    if len(message) > LARGEST:
        raise BadPeerRecord(f"{len(message)} bytes are too many for a peer")
    key = b""
    addresses: list[bytes] = []
    try:
        for number, wire, value in fields(memoryview(message)):
            if wire != BYTES or isinstance(value, int):
                raise BadPeerRecord(f"wire type {wire} has no place here")
            if number == 1:
                key = bytes(value)
            elif number == 2 and len(addresses) < MOST_ADDRESSES:
                addresses.append(bytes(value))
    except BadProtobuf as error:
        raise BadPeerRecord("not a protobuf") from error
    peer = _peer_id(key)
    return Found(peer, tuple(text for data in addresses for text in _address(data, peer)))


def _peer_id(key: bytes) -> PeerId:
    try:
        return peer_id(ID.from_pubkey(deserialize_public_key(key)))
    # The library raises whatever its protobuf, nacl and RSA readers raise; all of it means "not a key".
    except Exception as error:
        raise BadPeerRecord("not a public key") from error


def _address(data: bytes, peer: PeerId) -> list[str]:
    """One address, or none. js-libp2p ends each with its own peer id; an address that ends with another is none."""
    try:
        text = str(Multiaddr(data))
    except (MultiaddrError, ValueError, KeyError, IndexError):
        return []
    where, end, who = text.rpartition("/p2p/")
    if not end or "/" in who:
        return [text]
    return [where] if who == peer else []


def _field(number: int, value: bytes) -> bytes:
    return encode_varint(number << 3 | BYTES) + encode_varint(len(value)) + value
