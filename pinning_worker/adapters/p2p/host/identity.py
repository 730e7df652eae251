"""The key that names this worker: made, kept, and brought along from other software.

A peer is known by its peer id, the hash of its public key: browsers have ours written down, so losing the file loses
them. Rules: a key file is created, never overwritten; it is whole or not there; only its owner may read it (0600).

Our file is in libp2p's own format: the protobuf `PrivateKey { Type = 1; Data = 2 }` with Data = seed || public key
(64 bytes) for Ed25519. py-libp2p 0.8.1 reads and writes only the 32 bytes of the seed, hence the codec here.
Spec: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md. Nothing here starts a host.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from pathlib import Path

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from pinning_worker.adapters.machine import private_file
from pinning_worker.adapters.machine.disk_faults import reason_of
from pinning_worker.adapters.p2p.peer_ids import peer_id
from pinning_worker.domain.content.protobuf import BadProtobuf, fields
from pinning_worker.domain.identities import PeerId

_ED25519 = 1
_TYPE_NAMES = {0: "RSA", 2: "Secp256k1", 3: "ECDSA"}
_HEAD = b"\x08\x01\x12\x40"  # Type = Ed25519, Data = 64 bytes
_LARGEST_FILE = 64 * 1024


class BadKey(ValueError):
    """Not a private key that this worker can use. The text describes the bytes found, never the key."""


class KeyExists(Exception):
    """There is a key already, and a key is never overwritten."""


def new_key() -> KeyPair:
    """A fresh Ed25519 key, from the system's randomness."""
    return create_new_key_pair(secrets.token_bytes(32))


def peer_id_of(key: KeyPair) -> PeerId:
    """The peer id in its usual form (`12D3KooW…`)."""
    return peer_id(ID.from_pubkey(key.public_key))


def encode_key(key: KeyPair) -> bytes:
    """The 68 bytes of the protobuf, as js-libp2p and Kubo write them."""
    return _HEAD + key.private_key.to_bytes() + key.public_key.to_bytes()


def decode_key(protobuf: bytes) -> KeyPair:
    """A PrivateKey protobuf with 64 bytes of data, or 32 (py-libp2p), or 96 (old go: the public key twice).

    Raises BadKey: not such a protobuf, another kind of key, or a public key that does not belong to the seed.
    """
    try:
        found = {number: value for number, _, value in fields(memoryview(protobuf))}
    except BadProtobuf as error:
        raise BadKey("this is not a libp2p private key") from error
    kind, data = found.get(1), found.get(2)
    if not isinstance(kind, int) or not isinstance(data, memoryview) or len(found) != 2:
        raise BadKey("this is not a libp2p private key")
    if kind != _ED25519:
        raise BadKey(f"this is a key of type {_TYPE_NAMES.get(kind, kind)}; only Ed25519 keys can be used")
    if len(data) not in (32, 64, 96):
        raise BadKey(f"an Ed25519 key has 64 bytes, this one has {len(data)}")
    key = create_new_key_pair(bytes(data[:32]))
    if bytes(data[32:]) not in (b"", key.public_key.to_bytes(), key.public_key.to_bytes() * 2):
        raise BadKey("the public half of this key does not belong to its private half: the file is damaged")
    return key


def import_key(source: bytes) -> KeyPair:
    """A key in any of the forms that other software keeps it in. Raises BadKey.

    The raw protobuf (js-libp2p, a Kubo keystore file, ours); its hex (the old relay) or base64 (Kubo's `PrivKey`);
    a whole Kubo config, or an old js peer-id JSON, whose peer id must be that of the key.
    """
    if source[:2] == b"\x08\x01":
        return decode_key(source)
    try:
        text = source.decode().strip()
    except UnicodeDecodeError as error:
        raise BadKey("this is neither a libp2p private key nor text that holds one") from error
    if text.startswith("{"):
        return _from_json(text)
    return decode_key(_from_text(text))


def load_key(path: Path) -> KeyPair:
    """The key in that file, in our form. Raises BadKey, FileNotFoundError."""
    try:
        return decode_key(_read(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadKey(f"the key file cannot be read: {reason_of(error)}. It must be the worker's user's own") from error
    except BadKey as error:
        raise BadKey(
            f"the key file {path} cannot be used: {error}. Put it back from a backup: without it this worker is "
            "another peer, which no browser has written down. If it is lost, move the file aside and a new key is made"
        ) from error


def import_file(path: Path) -> KeyPair:
    """`import_key` of that file's content. Raises BadKey, FileNotFoundError, PermissionError."""
    return import_key(_read(path))


def save_key(key: KeyPair, path: Path) -> None:
    """Creates the file (0600) and its folder (0700). Whole or not at all, and on disk when this returns.

    Raises KeyExists when there is a file of that name, whatever its content.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        private_file.create(path, encode_key(key))
    except FileExistsError as error:
        raise KeyExists(f"{path} is there already; a key is never overwritten") from error


def load_or_create(path: Path) -> KeyPair:
    """The key in that file; the first start makes a new one and keeps it there. Raises BadKey, OSError."""
    try:
        return load_key(path)
    except FileNotFoundError:
        save_key(new_key(), path)
        return load_key(path)


def _from_json(text: str) -> KeyPair:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise BadKey("this looks like JSON, but is not") from error
    identity = told.get("Identity", told)
    if not isinstance(identity, dict):
        raise BadKey("the JSON has no Identity with a PrivKey")
    private = identity.get("PrivKey") or identity.get("privKey")
    if not isinstance(private, str):
        raise BadKey("the JSON holds no private key (Identity.PrivKey in a Kubo config, privKey in a peer-id file)")
    key = decode_key(_from_text(private))
    stated = identity.get("PeerID") or identity.get("id")
    if stated is not None and stated != peer_id_of(key):
        raise BadKey(f"the JSON says that its peer is {stated}, but its key is that of {peer_id_of(key)}")
    return key


def _from_text(text: str) -> bytes:
    """Hex is tried first: 136 hex digits are base64 too, but would decode to no key."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey("this is neither hex nor base64 of a libp2p private key") from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise BadKey(f"{path} is too large to be a key")
    return data
