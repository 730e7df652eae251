"""Whether bytes match a multihash (https://multiformats.io/multihash/)."""

from __future__ import annotations

import hashlib
from typing import NewType

Multihash = NewType("Multihash", bytes)
"""Code, length and digest of a hash: the name of a block, whatever the codec of the CID that leads to it."""

SHA2_256_PREFIX = b"\x12\x20"


def is_hash_of(multihash: Multihash, data: bytes | None) -> bool:
    """False for None, and for any hash but sha2-256 of 32 bytes: we vouch only for bytes that we can verify."""
    return data is not None and multihash == sha2_256(data)


def sha2_256(data: bytes | memoryview) -> Multihash:
    return Multihash(SHA2_256_PREFIX + hashlib.sha256(data).digest())
