"""AuxPow: the proof that a header's work was done while mining another chain (merged mining).

    coinbase transaction of the parent's block   it names the root of a tree of chains
    hash of the parent block                     32 bytes, redundant, never read
    merkle branch, index                         coinbase -> the parent's merkle root; the index is never read
    chain merkle branch, chain index             our header's hash -> the root of the tree of chains
    parent header                                80 bytes, with the work

After doichain-core `auxpow.cpp`. The coinbase's scriptSig has, behind the magic `fabe6d6d` (or, without it, within the
first 20 bytes): the chain root in display order, the size of that tree, a nonce. Our place in the tree follows from
nonce and chain id, so that one parent cannot carry two headers of the same chain. A coinbase is the first transaction
of its block, so its branch is folded for place 0, whatever its index field: no node reads it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pinning_worker.domain.chain.transaction import (
    BadTransaction,
    Outline,
    double_sha256,
    read_compact_size,
    read_outline,
)

MAGIC = b"\xfa\xbe\x6d\x6d"
LONGEST_BRANCH = 30

_AUXPOW_BIT = 0x100
_PARENT_SIZE = 80
_ROOT_AT_MOST = 20  # the last position where the chain root may begin without the magic
_PARENT = struct.Struct("<i32s32sIII")
_TREE = struct.Struct("<II")


class BadAuxPow(ValueError):
    """Not a proof of work for that header."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Siblings from a leaf up to a root, and the leaf's place."""

    siblings: tuple[bytes, ...]
    index: int

    def fold(self, leaf: bytes) -> bytes:
        node, index = leaf, self.index
        for sibling in self.siblings:
            node = double_sha256(sibling + node if index & 1 else node + sibling)
            index >>= 1
        return node


@dataclass(frozen=True, slots=True)
class AuxPow:
    """`parent` is the other chain's header, 80 bytes. Only the parts of the coinbase that the proof needs are read: it
    may be forged, and as large as a block."""

    coinbase: Outline
    to_parent: Branch
    to_chains: Branch
    parent: bytes

    def require_commitment(self, child: bytes, chain_id: int, *, strict: bool) -> None:
        """Raises BadAuxPow unless the parent commits to the header whose hash is `child`. Does not check work."""
        version, _previous, merkle_root, *_ = _PARENT.unpack(self.parent)
        if version & _AUXPOW_BIT:
            raise BadAuxPow("the parent is merge-mined itself")
        if strict and version >> 16 == chain_id:
            raise BadAuxPow("the parent has our own chain id")
        if Branch(self.to_parent.siblings, index=0).fold(bytes.fromhex(self.coinbase.txid)[::-1]) != merkle_root:
            raise BadAuxPow("the coinbase is not in the parent's block")
        self._require_place(self.to_chains.fold(child)[::-1], chain_id)

    def _require_place(self, chain_root: bytes, chain_id: int) -> None:
        script = self.coinbase.script
        at = _find_chain_root(script, chain_root)
        if len(script) - at < _TREE.size:
            raise BadAuxPow("the size of the chain tree is missing")
        size, nonce = _TREE.unpack_from(script, at)
        height = len(self.to_chains.siblings)
        if size != 1 << height:
            raise BadAuxPow("the chain tree has another size")
        if self.to_chains.index != expected_index(nonce, chain_id, height):
            raise BadAuxPow("this is not our place in the chain tree")


def _find_chain_root(script: bytes, chain_root: bytes) -> int:
    """The position after the chain root. Raises BadAuxPow if the root is missing or ambiguous."""
    root_at, magic_at = script.find(chain_root), script.find(MAGIC)
    if root_at < 0:
        raise BadAuxPow("the coinbase does not name the chain root")
    if magic_at < 0 and root_at > _ROOT_AT_MOST:
        raise BadAuxPow("the chain root stands too late in the coinbase")
    if magic_at >= 0 and (magic_at + len(MAGIC) != root_at or script.find(MAGIC, magic_at + 1) >= 0):
        raise BadAuxPow("the merged-mining magic stands elsewhere, or twice")
    return root_at + len(chain_root)


def expected_index(nonce: int, chain_id: int, tree_height: int) -> int:
    """The place of a chain in a tree of 2^tree_height chains: a linear congruence modulo 2^32."""
    number = (nonce * 1103515245 + 12345 + chain_id) & 0xFFFFFFFF
    return ((number * 1103515245 + 12345) & 0xFFFFFFFF) % (1 << tree_height)


def read_auxpow(data: bytes, at: int) -> tuple[AuxPow, int]:
    """(AuxPow, the position after it). Raises BadAuxPow."""
    try:
        coinbase = read_outline(data, at)
        to_parent, at = _read_branch(data, coinbase.end + 32)
        to_chains, at = _read_branch(data, at)
    except (BadTransaction, struct.error) as error:
        raise BadAuxPow(f"malformed: {error}") from error
    parent = data[at : at + _PARENT_SIZE]
    if len(parent) != _PARENT_SIZE:
        raise BadAuxPow("cut off")
    return AuxPow(coinbase, to_parent, to_chains, parent), at + _PARENT_SIZE


def _read_branch(data: bytes, at: int) -> tuple[Branch, int]:
    count, at = read_compact_size(data, at)
    if count > LONGEST_BRANCH:
        raise BadAuxPow("a branch longer than any tree")
    end = at + 32 * count
    (index,) = struct.unpack_from("<i", data, end)
    siblings = tuple(data[start : start + 32] for start in range(at, end, 32))
    return Branch(siblings, index), end + 4
