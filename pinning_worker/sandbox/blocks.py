"""Blocks of a Doichain regtest chain: coinbases, headers with work in them, and merge mining.

The genesis block is rebuilt from its parts and checked against the network's row, so every chain on it is Doichain's
own regtest (doichain-core, src/chainparams.cpp). Every other header carries the chain id in its version, since regtest
is strict about it. A merge-mined block has no work of its own: its version says AuxPow, and between header and
transactions stands the proof that the work was done on another chain's block (src/auxpow.h):

    coinbase of the parent · parent's hash (not looked at) · merkle branch and index of the coinbase
    · chain merkle branch and index of our block · the parent's 80-byte header
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pinning_worker.domain.chain.nameop import push
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import (
    Transaction,
    TxInput,
    TxOutput,
    compact_size,
    double_sha256,
    merkle_root,
)
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.swartz import Swartz

REGTEST_BITS = 0x207FFFFF
NO_TXID = Txid("00" * 32)
COINBASE_INDEX = 0xFFFFFFFF
HALVING_INTERVAL = 150
FIRST_SUBSIDY = 50 * 10**8

_TARGET = 0x7FFFFF << 8 * (0x20 - 3)
_BASE_VERSION = 4
_AUXPOW_FLAG = 0x100
_MERGED_MINING_MARK = b"\xfa\xbe\x6d\x6d"
_PARENT_VERSION = 0x20000000  # a chain id of 0x2000, which is not ours: regtest refuses a parent with our own
_GENESIS_TIME = 1296688602
_GENESIS_TEXT = b"Mark Zuckerberg und Apple-Chef Tim Cook gehen aufeinander los"
_GENESIS_KEY = bytes.fromhex(
    "042f413ffbe86df73d195832efd61003fe4e7f6c061e75afa06365928fa649dd4a"
    "408c4029ca98c9a0bfda2b99e53c587c95d566375036c7f85be51b5a4e150118"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its 80-byte header, the AuxPow after it (empty if it has work of its own), and its transactions."""

    header: bytes
    auxpow: bytes
    transactions: tuple[Transaction, ...]

    @property
    def block_hash(self) -> str:
        return double_sha256(self.header)[::-1].hex()

    @property
    def time(self) -> int:
        """The header's time, in seconds since 1970."""
        return int.from_bytes(self.header[68:72], "little")

    def serialise(self) -> bytes:
        body = b"".join(transaction.serialise() for transaction in self.transactions)
        return self.header + self.auxpow + compact_size(len(self.transactions)) + body


def genesis_block() -> Block:
    """Doichain's regtest genesis. Its output was never spendable."""
    script_sig = push(struct.pack("<I", 0x1D00FFFF)) + push(b"\x04") + push(_GENESIS_TEXT)
    spent = TxInput(NO_TXID, COINBASE_INDEX, script_sig)
    coinbase = Transaction(1, (spent,), (TxOutput(Swartz(FIRST_SUBSIDY), Script(push(_GENESIS_KEY) + b"\xac")),))
    block = Block(_header(1, bytes(32), merkle_root([coinbase.txid]), _GENESIS_TIME, nonce=0), b"", (coinbase,))
    assert block.block_hash == DOICHAIN_REGTEST.genesis_hash
    return block


def mine_block(previous: str, time: int, block_transactions: Sequence[Transaction], *, auxpow: bool) -> Block:
    """Mines a block of these transactions, the coinbase first, on top of `previous` (its hash, hex)."""
    root = merkle_root([transaction.txid for transaction in block_transactions])
    version = DOICHAIN_REGTEST.auxpow_chain_id << 16 | _BASE_VERSION
    before = bytes.fromhex(previous)[::-1]
    if auxpow:
        header = _header(version | _AUXPOW_FLAG, before, root, time, nonce=0)
        return Block(header, _prove_work_of_parent(double_sha256(header), time), tuple(block_transactions))
    return Block(_work(version, before, root, time), b"", tuple(block_transactions))


def coinbase_transaction(height: int, reward: TxOutput) -> Transaction:
    """Begins with the height (BIP34); random bytes after it keep the coinbases of two forks apart."""
    script_sig = push(_script_number(height)) + push(secrets.token_bytes(8))
    return Transaction(1, (TxInput(NO_TXID, COINBASE_INDEX, script_sig),), (reward,))


def block_subsidy(height: int) -> int:
    """The amount that a block may create, in swartz: 50 DOI, halved every 150 blocks on regtest."""
    return FIRST_SUBSIDY >> height // HALVING_INTERVAL


def _prove_work_of_parent(block_hash: bytes, time: int) -> bytes:
    """Makes an AuxPow for the block with this hash (internal order). The merge-mined tree has no other chain."""
    tree_size, tree_nonce = struct.pack("<I", 1), bytes(4)
    commitment = _MERGED_MINING_MARK + block_hash[::-1] + tree_size + tree_nonce
    reward = TxOutput(Swartz(FIRST_SUBSIDY), Script(b"\x51"))
    coinbase = Transaction(1, (TxInput(NO_TXID, COINBASE_INDEX, push(commitment)),), (reward,))
    sibling = secrets.token_bytes(32)  # stands for the parent block's other transactions: the branch is not empty
    root = double_sha256(bytes.fromhex(coinbase.txid)[::-1] + sibling)
    parent = _work(_PARENT_VERSION, secrets.token_bytes(32), root, time)
    coinbase_branch, chain_branch = _branch([sibling]), _branch([])
    return coinbase.serialise() + double_sha256(parent) + coinbase_branch + chain_branch + parent


def _branch(siblings: Sequence[bytes]) -> bytes:
    """Writes a merkle branch in the form of AuxPow, for the leaf at index 0."""
    return compact_size(len(siblings)) + b"".join(siblings) + struct.pack("<i", 0)


def _work(version: int, previous: bytes, root: bytes, time: int) -> bytes:
    """Finds a header whose hash meets regtest's target: about every second nonce does."""
    nonce = 0
    while int.from_bytes(double_sha256(header := _header(version, previous, root, time, nonce)), "little") > _TARGET:
        nonce += 1
    return header


def _header(version: int, previous: bytes, root: bytes, time: int, nonce: int) -> bytes:
    return struct.pack("<i32s32sIII", version, previous, root, time, REGTEST_BITS, nonce)


def _script_number(number: int) -> bytes:
    """Writes a number above 0 as a script does: little endian, the top bit kept clear."""
    return number.to_bytes(number.bit_length() // 8 + 1, "little")
