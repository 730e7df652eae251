"""One block header, and its proof of work.

A Doichain header is Bitcoin's 80 bytes; a merge-mined one (version bit 0x100) is followed by an AuxPow, the proof that
the work was done on another chain (`auxpow.py`). Rules, after doichain-core `pow.cpp` and `validation.cpp`:

- The bits of a header stand for a target above zero and at most the network's `pow_limit`.
- A plain header's own hash meets the target; for a merge-mined one, its parent's hash meets the target *of the child's
  bits*.
- On a strict network (regtest) every header but those of version exactly 1 carries our chain id in its upper 16 bits.
  Mainnet and testnet are not strict: a foreign id is no fault there, and the AuxPow is judged by the id it names. So
  one parent may prove many headers, each with an id and a place in the tree of its own: those with our id add work.

Whether a header *follows* another (linkage, retargeting, time) is judged in `headerchain.py`. Hashes as `bytes` are in
internal order, as they stand in a header; as `str` they are hex in display order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pinning_worker.domain.chain.auxpow import BadAuxPow, read_auxpow
from pinning_worker.domain.chain.difficulty import BadBits, target_of, work_of
from pinning_worker.domain.chain.networks import Network
from pinning_worker.domain.chain.transaction import double_sha256

HEADER_SIZE = 80
AUXPOW_BIT = 0x100
LARGEST_HEADER = 1_000_000  # bytes, its AuxPow included: a parent's coinbase fits a block of that chain

_FIELDS = struct.Struct("<i32s32sIII")
_LEGACY_VERSION = 1


class BadHeader(ValueError):
    """Not a header of this chain: malformed, without its work, or not following the one before."""


@dataclass(frozen=True, slots=True)
class Header:
    """The 80 bytes that are hashed, cut into fields. `time` is seconds since 1970, as the miner set it."""

    raw: bytes
    version: int
    previous: bytes
    merkle_root: bytes
    time: int
    bits: int
    hash: bytes

    @property
    def block_hash(self) -> str:
        """Hex in display order."""
        return self.hash[::-1].hex()

    @property
    def is_merge_mined(self) -> bool:
        return bool(self.version & AUXPOW_BIT)

    @property
    def chain_id(self) -> int:
        return self.version >> 16


def parse_header(raw: bytes) -> Header:
    """Parses 80 bytes. Raises BadHeader on any other length."""
    if len(raw) != HEADER_SIZE:
        raise BadHeader("a header has 80 bytes")
    version, previous, merkle_root, time, bits, _nonce = _FIELDS.unpack(raw)
    return Header(raw, version, previous, merkle_root, time, bits, double_sha256(raw))


def read_proven_header(data: bytes, at: int, network: Network) -> tuple[Header, int]:
    """(header, the position after it and its AuxPow), with its work checked. Raises BadHeader."""
    header = parse_header(data[at : at + HEADER_SIZE])
    target = _target_of(header)
    if target > network.pow_limit:
        raise BadHeader("the target is easier than the network allows")
    if network.auxpow_strict and header.version != _LEGACY_VERSION and header.chain_id != network.auxpow_chain_id:
        raise BadHeader(f"chain id {header.chain_id} is not ours")
    if not header.is_merge_mined:
        _require_work(header.hash, target)
        return header, at + HEADER_SIZE
    try:
        auxpow, size = read_auxpow(data[at + HEADER_SIZE : at + LARGEST_HEADER], 0)
        auxpow.require_commitment(header.hash, header.chain_id, strict=network.auxpow_strict)
    except BadAuxPow as error:
        raise BadHeader(f"AuxPow: {error}") from error
    _require_work(double_sha256(auxpow.parent), target)
    return header, at + HEADER_SIZE + size


def added_work(header: Header, network: Network) -> int:
    """The work that the header adds to a chain, in expected hashes. Raises BadHeader on bits that are no target."""
    if header.is_merge_mined and header.chain_id != network.auxpow_chain_id:
        return 0
    try:
        return work_of(header.bits)
    except BadBits as error:
        raise BadHeader(str(error)) from error


def skip_proof(data: bytes, at: int) -> tuple[Header, int]:
    """Like `read_proven_header` without the check of work: for headers that a known hash commits to."""
    header = parse_header(data[at : at + HEADER_SIZE])
    if not header.is_merge_mined:
        return header, at + HEADER_SIZE
    try:
        return header, read_auxpow(data, at + HEADER_SIZE)[1]
    except BadAuxPow as error:
        raise BadHeader(f"AuxPow: {error}") from error


def _target_of(header: Header) -> int:
    try:
        return target_of(header.bits)
    except BadBits as error:
        raise BadHeader(str(error)) from error


def _require_work(block_hash: bytes, target: int) -> None:
    if int.from_bytes(block_hash, "little") > target:
        raise BadHeader("the hash does not meet the target")
