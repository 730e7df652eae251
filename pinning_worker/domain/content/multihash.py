"""Whether bytes are what a multihash says (https://multiformats.io/multihash/)."""

from __future__ import annotations

import hashlib

SHA2_256_PREFIX = b"\x12\x20"


def is_hash_of(multihash: bytes, data: bytes | None) -> bool:
    """False for no data, and for any hash but sha2-256 of 32 bytes: what we cannot verify, we do not vouch for."""
    return data is not None and multihash == SHA2_256_PREFIX + hashlib.sha256(data).digest()
