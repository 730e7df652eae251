"""Signed content: fields of text, whole numbers and lists, as canonical dag-cbor, signed with a peer's Ed25519 key.

Rules: content has exactly one encoding (map keys by length, then by bytes; shortest numbers; definite lengths), and the
same fields as JSON have the same encoding. There are no bytes and no links in it: hashes are hex text, CIDs are text.
The field `type` says what was signed, so that no signature passes for one of another kind. The key is the one in the
peer id, hence a signature needs no further key to be verified.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

import cbor2
from Crypto.Signature import eddsa
from multiformats import multibase

from pinning_worker.domain.identities import PeerId

LARGEST_NUMBER = 2**53 - 1  # exact in JavaScript, too
SIGNATURE_SIZE = 64
_ED25519_PEER = bytes.fromhex("002408011220")  # identity multihash of 36 bytes: PublicKey { Type = Ed25519, 32 bytes }


class BadContent(ValueError):
    """Not content that can be signed or verified."""


def canonical(fields: Mapping[str, object]) -> bytes:
    """Raises BadContent for text that is not Unicode (half a surrogate pair)."""
    try:
        return cbor2.dumps(fields, canonical=True)
    except UnicodeEncodeError as error:
        raise BadContent("a text is not Unicode") from error


def public_key_of(peer: PeerId) -> bytes:
    """The 32 bytes of the Ed25519 key in a peer id (`12D3KooW…`). Raises BadContent for any other peer id."""
    try:
        data = bytes(multibase.decode(f"z{peer}"))
    except (ValueError, KeyError, IndexError) as error:
        raise BadContent(f"{peer!r} is not a peer id") from error
    if len(data) != len(_ED25519_PEER) + 32 or not data.startswith(_ED25519_PEER):
        raise BadContent(f"{peer!r} is not the peer id of an Ed25519 key")
    return data[len(_ED25519_PEER) :]


def is_signed_by(peer: PeerId, message: bytes, signature: bytes) -> bool:
    """Whether the peer's key signed exactly that message. Raises BadContent for a peer id without such a key."""
    key = public_key_of(peer)
    try:
        eddsa.new(eddsa.import_public_key(key), "rfc8032").verify(message, signature)
    except ValueError:  # pycryptodome says no by this, also for 32 bytes that are no point of the curve
        return False
    return True


def signature_text(signature: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(signature).decode().rstrip("=")


def read_signature(text: str) -> bytes:
    """The signature of a text that `signature_text` wrote. Raises BadContent on any other spelling."""
    try:
        signature = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise BadContent("the signature is not base64url") from error
    if len(signature) != SIGNATURE_SIZE or signature_text(signature) != text:
        raise BadContent("the signature is not 64 bytes in base64url")
    return signature
