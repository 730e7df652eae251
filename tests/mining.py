"""A miner for tests: real headers with real work, plain or merge-mined, at difficulties that a test can afford.

Everything is chosen by the caller or counted, nothing is random: a test mines the same headers every time.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

from pinning_worker.domain.chain.auxpow import MAGIC, expected_index
from pinning_worker.domain.chain.difficulty import target_of
from pinning_worker.domain.chain.headers import AUXPOW_BIT, Header, parse_header
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Anchor, Network
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, compact_size, double_sha256
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.swartz import Swartz

REGTEST_GENESIS = parse_header(
    bytes.fromhex(
        "0100000000000000000000000000000000000000000000000000000000000000000000003"
        "4acf4d33ea0bd99e9d7f54a235b50bba23b47bce3e7bfb6c39357129a6fe08ddae5494dffff7f2000000000"
    )
)
EASIEST_BITS = 0x207FFFFF
LATER = 4_000_000_000  # seconds since 1970: a clock for which no header is in the future
NOWHERE = Txid("00" * 32)


def plain_version(network: Network) -> int:
    return network.auxpow_chain_id << 16 | 4


def mine(
    previous: Header,
    *,
    network: Network = DOICHAIN_REGTEST,
    bits: int | None = None,
    time: int | None = None,
    merkle_root: bytes = b"\x11" * 32,
    version: int | None = None,
) -> bytes:
    """A plain header that follows `previous`: 80 bytes that meet their target."""
    chosen_bits = previous.bits if bits is None else bits
    fields = struct.pack(
        "<i32s32sII",
        plain_version(network) if version is None else version,
        previous.hash,
        merkle_root,
        previous.time + network.block_spacing if time is None else time,
        chosen_bits,
    )
    return grind(fields, target_of(chosen_bits))


def grind(fields: bytes, target: int) -> bytes:
    """The 76 bytes and the first nonce with which their hash meets the target."""
    nonce = 0
    while int.from_bytes(double_sha256(fields + struct.pack("<I", nonce)), "little") > target:
        nonce += 1
    return fields + struct.pack("<I", nonce)


def without_work(fields: bytes, target: int) -> bytes:
    """The same, with the first nonce that does not meet it."""
    nonce = 0
    while int.from_bytes(double_sha256(fields + struct.pack("<I", nonce)), "little") <= target:
        nonce += 1
    return fields + struct.pack("<I", nonce)


def mine_many(previous: Header, count: int, *, network: Network = DOICHAIN_REGTEST, salt: int = 0x11) -> list[Header]:
    """`count` plain headers of unchanged difficulty; another `salt` makes other blocks."""
    headers: list[Header] = []
    for _ in range(count):
        previous = parse_header(mine(previous, network=network, merkle_root=bytes((salt,)) * 32))
        headers.append(previous)
    return headers


@dataclass(frozen=True)
class MergeMining:
    """How the parent's block is made: every part of it can be spoilt by a test."""

    network: Network = DOICHAIN_REGTEST
    tree_height: int = 2
    nonce: int = 7
    chain_id: int | None = None  # by which the place in the tree is computed; None: the network's
    index: int | None = None  # the place in the tree; None: the right one
    size: int | None = None  # the tree's size, as the coinbase says; None: the right one
    magic: bytes = MAGIC
    before: bytes = b"\x03\x01\x02\x03"  # in the scriptSig, before the magic
    after: bytes = b"/a pool/"
    cut: int = 0  # bytes missing at the end of the scriptSig
    coinbase_index: int = 0
    siblings: tuple[bytes, ...] = (b"\x21" * 32, b"\x22" * 32)
    parent_version: int = 0x20000000
    parent_root: bytes | None = None
    work: bool = True
    root_in_coinbase: bool = field(default=True)

    def prove(self, child: Header) -> bytes:
        """The AuxPow for that header."""
        chain_id = self.network.auxpow_chain_id if self.chain_id is None else self.chain_id
        index = expected_index(self.nonce, chain_id, self.tree_height) if self.index is None else self.index
        tree_siblings = tuple(bytes((0x31 + level,)) * 32 for level in range(self.tree_height))
        chain_root = fold(child.hash, tree_siblings, index)[::-1] if self.root_in_coinbase else b"\x44" * 32
        size = 1 << self.tree_height if self.size is None else self.size
        script = self.before + self.magic + chain_root + struct.pack("<II", size, self.nonce) + self.after
        script = script[: len(script) - self.cut]
        coinbase = Transaction(1, (TxInput(NOWHERE, 0xFFFFFFFF, script),), (TxOutput(Swartz(50), Script(b"\x51")),))
        root = fold(bytes.fromhex(coinbase.txid)[::-1], self.siblings, self.coinbase_index)
        fields = struct.pack(
            "<i32s32sII", self.parent_version, b"\x55" * 32, self.parent_root or root, child.time, EASIEST_BITS
        )
        parent = (grind if self.work else without_work)(fields, target_of(child.bits))
        return (
            coinbase.serialise()
            + bytes(32)
            + branch_bytes(self.siblings, self.coinbase_index)
            + branch_bytes(tree_siblings, index)
            + parent
        )


def merge_mine(
    previous: Header,
    how: MergeMining | None = None,
    *,
    bits: int | None = None,
    merkle_root: bytes = b"\x12" * 32,
) -> bytes:
    """A merge-mined header that follows `previous`, and its AuxPow. Its own hash need not meet the target."""
    how = how or MergeMining()
    fields = struct.pack(
        "<i32s32sIII",
        plain_version(how.network) | AUXPOW_BIT,
        previous.hash,
        merkle_root,
        previous.time + how.network.block_spacing,
        previous.bits if bits is None else bits,
        0,
    )
    return fields + how.prove(parse_header(fields))


def fold(leaf: bytes, siblings: tuple[bytes, ...], index: int) -> bytes:
    node = leaf
    for level, sibling in enumerate(siblings):
        node = double_sha256(sibling + node if index >> level & 1 else node + sibling)
    return node


def branch_bytes(siblings: tuple[bytes, ...], index: int) -> bytes:
    return compact_size(len(siblings)) + b"".join(siblings) + struct.pack("<i", index)


def own_network(*, bits: int, **changes: object) -> tuple[Network, Header]:
    """A network of a test's own, at most as easy as `bits`, and the genesis header that it starts from."""
    limits = replace(DOICHAIN_REGTEST, pow_limit=target_of(bits))
    genesis = parse_header(mine(REGTEST_GENESIS, network=limits, bits=bits))
    genesis_hash = genesis.hash[::-1].hex()
    named = replace(limits, genesis_hash=genesis_hash, anchor=Anchor(0, genesis_hash))
    row: Network = replace(named, **changes)  # type: ignore[arg-type]  # a row's fields, by name
    return row, genesis
