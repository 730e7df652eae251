"""All that another node needs to find this one, in one line of text that only a passphrase opens.

    pinning1:<base32 of: salt (16) || nonce (12) || ciphertext || checksum (4)>

Inside is CBOR: {"peer": id, "addresses": [multiaddrs that end in /p2p/id], "swarm_key": 32 bytes or null}; a reader
ignores other keys, so that a later worker can add some. The key is scrypt(passphrase in NFKC, salt, N = 2^16, r = 8, p
= 1), the cipher ChaCha20-Poly1305 with the prefix as associated data. The checksum (of SHA-256, over prefix and all
bytes) tells a slip of the hand from a wrong passphrase. Case and white space do not matter, so the line may be wrapped
or read aloud. Another format gets another number in its prefix.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import unicodedata
from dataclasses import dataclass, field
from hashlib import scrypt, sha256
from io import BytesIO

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pinning_worker.adapters.p2p.addresses import parse_peer
from pinning_worker.adapters.p2p.errors import BadAddress
from pinning_worker.adapters.p2p.peer_ids import parse_peer_id, peer_id
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.swarm_key import KEY_BYTES

FAMILY = "pinning"
PREFIX = "pinning1:"
SHORTEST_PASSPHRASE = 8
MOST_ADDRESSES = 64
LONGEST = 64 * 1024
_SALT, _NONCE, _TAG, _CHECKSUM = 16, 12, 16, 4
_SCRYPT = {"n": 1 << 16, "r": 8, "p": 1, "dklen": 32, "maxmem": 128 << 20}  # 64 MiB and a fifth of a second for a guess


class BadInvitation(ValueError):
    """Not a usable connection string. The text says why, and nothing of its content."""


class WrongPassphrase(BadInvitation):
    """The text is whole, and this passphrase does not open it."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """`addresses` are multiaddrs that end in /p2p/`peer`; `swarm_key` 32 bytes, or None: the network is open."""

    peer: PeerId
    addresses: tuple[str, ...]
    swarm_key: bytes | None = field(default=None, repr=False)


def seal(invitation: Invitation, passphrase: str) -> str:
    """The line of text; another one each time. Takes a fifth of a second and 64 MiB. Raises BadInvitation."""
    _check(invitation)
    inside = cbor2.dumps(
        {
            "peer": invitation.peer,
            "addresses": list(invitation.addresses),
            "swarm_key": invitation.swarm_key,
        }
    )
    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    sealed = salt + nonce + _cipher(passphrase, salt).encrypt(nonce, inside, PREFIX.encode())
    return PREFIX + base64.b32encode(sealed + _checksum(sealed)).decode().rstrip("=").lower()


def unseal(text: str, passphrase: str) -> Invitation:
    """Raises WrongPassphrase, and BadInvitation for everything else."""
    sealed = _whole(text)
    salt, nonce, rest = sealed[:_SALT], sealed[_SALT : _SALT + _NONCE], sealed[_SALT + _NONCE :]
    try:
        inside = _cipher(passphrase, salt).decrypt(nonce, rest, PREFIX.encode())
    except InvalidTag:
        raise WrongPassphrase("the text is whole, but this passphrase does not open it") from None
    invitation = _read(inside)
    _check(invitation)
    return invitation


def require_whole(text: str) -> None:
    """Raises BadInvitation when the text was cut or mistyped: call it before prompting for a passphrase."""
    _whole(text)


def _whole(text: str) -> bytes:
    compact = "".join(text.split()).lower()
    if len(compact) > LONGEST:
        raise BadInvitation("this is too long to be a connection string")
    if not compact.startswith(PREFIX):
        newer = compact.startswith(FAMILY) and ":" in compact[:20]
        raise BadInvitation(
            "this connection string is of another version of the worker: bring both to the same"
            if newer
            else f"this is not a connection string: one begins with {PREFIX}"
        )
    body = compact.removeprefix(PREFIX).upper()
    try:
        data = base64.b32decode(body + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError):
        raise BadInvitation("this connection string is damaged: copy it again, to its last letter") from None
    sealed, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if len(sealed) < _SALT + _NONCE + _TAG or checksum != _checksum(sealed):
        raise BadInvitation("this connection string is damaged: copy it again, to its last letter")
    return sealed


def _read(inside: bytes) -> Invitation:
    """Authentic content may still come from a faulty program, so each part is checked."""
    try:
        told = cbor2.load(BytesIO(inside))
        return Invitation(told["peer"], tuple(told["addresses"]), told["swarm_key"])
    except (cbor2.CBORDecodeError, KeyError, TypeError) as error:
        raise BadInvitation("this connection string holds something else than it should") from error


def _check(invitation: Invitation) -> None:
    key = invitation.swarm_key
    if key is not None and not (
        isinstance(key, bytes) and len(key) == KEY_BYTES  # type: ignore[redundant-expr]  # read from a line, of any type
    ):
        raise BadInvitation("its swarm key is none")
    texts = (invitation.peer, *invitation.addresses)
    if not all(isinstance(text, str) for text in texts) or len(texts) > MOST_ADDRESSES:
        raise BadInvitation(f"it must hold a peer id and at most {MOST_ADDRESSES} addresses")
    try:
        parse_peer_id(invitation.peer)
        peers = {peer_id(parse_peer(address).peer_id) for address in invitation.addresses}
    except BadAddress as error:
        raise BadInvitation(str(error)) from error
    if peers != {invitation.peer}:
        raise BadInvitation(f"its addresses must be those of {invitation.peer}")


def _cipher(passphrase: str, salt: bytes) -> ChaCha20Poly1305:
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise BadInvitation(f"a passphrase has at least {SHORTEST_PASSPHRASE} characters")
    secret = unicodedata.normalize("NFKC", passphrase).encode()
    return ChaCha20Poly1305(scrypt(secret, salt=salt, **_SCRYPT))


def _checksum(sealed: bytes) -> bytes:
    return sha256(PREFIX.encode() + sealed).digest()[:_CHECKSUM]
