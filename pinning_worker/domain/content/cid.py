"""CIDs: the identity of a block, whatever the spelling.

`Qm…` and `bafybei…` of one block are the same request, so the key of everything is the CIDv1 bytes (`Cid.key`); that
of blocks on disk is the multihash alone. `multiformats` decodes text (about 130 µs) and writes base58btc; binary CIDs
and the text of version 1, the hot paths, are done by hand here. Spec: https://github.com/multiformats/cid.
"""

from __future__ import annotations

from base64 import b32encode
from dataclasses import dataclass
from typing import NewType

from multiformats import multibase

from pinning_worker.domain.content.multihash import Multihash, sha2_256

DAG_PB = 0x70
RAW = 0x55
DAG_CBOR = 0x71
SHA2_256 = 0x12
IDENTITY = 0x00

_LONGEST_TEXT = 512
_LONGEST_DIGEST = 128

Root = NewType("Root", bytes)
"""The CIDv1 bytes of a CID (`Cid.key`): the subject of a request, a pin or a payment. It is no Multihash: the codec is
part of it, so one block can be two roots."""


CidBytes = NewType("CidBytes", bytes)
"""The bytes of a CID in its own version (`Cid.binary`), as links and wantlists write it. It is no Root: in version 0
it is the bare multihash. A stranger's may be no CID at all."""


class BadCid(ValueError):
    """Not a CID."""


class UnsupportedCid(ValueError):
    """A CID whose codec or hash this worker does not read."""


@dataclass(frozen=True, slots=True)
class Cid:
    """A CID cut into its parts. `multihash` is the full multihash (code, length, digest)."""

    version: int
    codec: int
    multihash: Multihash

    @property
    def key(self) -> Root:
        """The CIDv1 bytes: the identity of the content, whatever version was written."""
        return Root(b"\x01" + encode_varint(self.codec) + self.multihash)

    @property
    def binary(self) -> CidBytes:
        return CidBytes(self.multihash if self.version == 0 else self.key)

    @property
    def hash_code(self) -> int:
        return read_varint(self.multihash)[0]

    @property
    def digest(self) -> bytes:
        _, at = read_varint(self.multihash)
        return self.multihash[read_varint(self.multihash, at)[1] :]

    def __str__(self) -> str:
        """base58btc for version 0, base32 for version 1."""
        if self.version == 0:
            return multibase.encode(self.multihash, "base58btc")[1:]
        return "b" + b32encode(self.key).decode().rstrip("=").lower()  # every log line and crash note has one

    def require_supported(self) -> Cid:
        """Returns itself if it is dag-pb or raw with a sha2-256 of 32 bytes. Raises UnsupportedCid."""
        if self.codec not in (DAG_PB, RAW):
            raise UnsupportedCid(f"codec 0x{self.codec:x} is not supported: only dag-pb and raw are")
        if self.hash_code != SHA2_256 or len(self.digest) != 32:
            raise UnsupportedCid(f"hash 0x{self.hash_code:x} is not supported: only sha2-256 (32 bytes) is")
        return self


def encode_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int = 0) -> tuple[int, int]:
    """(number, next position). Raises BadCid on a cut-off, over-long or non-minimal varint (at most 9 bytes)."""
    number = shift = 0
    for index in range(at, min(at + 9, len(data))):
        byte = data[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and index > at:
                raise BadCid("varint is not minimal")
            return number, index + 1
        shift += 7
    raise BadCid("varint is cut off or too long")


def cid_from_bytes(data: bytes) -> Cid:
    """A whole binary CID, version 0 or 1. Raises BadCid."""
    if len(data) == 34 and data[:2] == b"\x12\x20":
        return Cid(0, DAG_PB, Multihash(data))
    codec, at, end = _cut(data)
    if len(data) != end:
        raise BadCid("the digest's length is not what the multihash says")
    return Cid(1, codec, Multihash(data[at:]))


def cid_length(data: bytes) -> int:
    """The number of bytes of the CIDv1 that the data begins with; they may be fewer. Raises BadCid."""
    return _cut(data)[2]


def _cut(data: bytes) -> tuple[int, int, int]:
    """(codec, where the multihash begins, where it ends) of the CIDv1 that the data begins with."""
    version, at = read_varint(data)
    if version != 1:
        raise BadCid(f"CID version {version} does not exist")
    codec, at = read_varint(data, at)
    _, length_at = read_varint(data, at)
    length, digest_at = read_varint(data, length_at)
    if length > _LONGEST_DIGEST:
        raise BadCid("the digest's length is not what the multihash says")
    return codec, at, digest_at + length


def cid_text(data: bytes) -> str:
    """The text of a binary CID that we wrote ourselves, a root of the books. Raises like `cid_from_bytes`."""
    return str(cid_from_bytes(data))


def parse_cid(text: str) -> Cid:
    """A CID as people write it: `Qm…`, or any multibase. Raises BadCid."""
    if not text or len(text) > _LONGEST_TEXT or not text.isascii():
        raise BadCid("not a CID")
    bare_v0 = len(text) == 46 and text.startswith("Qm")
    try:
        # multiformats raises IndexError, KeyError or ValueError on bad input, and takes no bare Qm… as multibase.
        data = bytes(multibase.decode(f"z{text}" if bare_v0 else text))
    except (ValueError, KeyError, IndexError) as error:
        raise BadCid("not a CID") from error
    cid = cid_from_bytes(data)
    if cid.version == 0 and not bare_v0:
        raise BadCid("a version 0 CID is written without a multibase prefix")
    return cid


def cid_of(codec: int, block: bytes) -> Cid:
    """The CIDv1 of a block, hashed with sha2-256."""
    return Cid(1, codec, sha2_256(block))
