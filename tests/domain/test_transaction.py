"""The transaction codec against known bytes, against itself, and against garbage."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.transaction import (
    BadMerkleBranch,
    BadTransaction,
    Transaction,
    TxInput,
    TxOutput,
    compact_size,
    double_sha256,
    fold_merkle_branch,
    merkle_root,
    parse_transaction,
    read_compact_size,
    read_transaction,
)
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.swartz import Swartz

BITCOIN_GENESIS_COINBASE = bytes.fromhex(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d010445"
    "5468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e"
    "64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7"
    "105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac"
    "00000000"
)
# BIP143, "Native P2WPKH": the signed transaction of the example.
BIP143_SIGNED = bytes.fromhex(
    "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b"
    "9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc"
    "22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a"
    "0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000"
    "001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f"
    "32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121"
    "025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000"
)
BLOCK_100000_TXIDS = [
    Txid("8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87"),
    Txid("fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4"),
    Txid("6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4"),
    Txid("e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d"),
]
BLOCK_100000_ROOT = "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766"

hashes = st.binary(min_size=32, max_size=32)
txids = hashes.map(bytes.hex)
uint32 = st.integers(0, 0xFFFFFFFF)
scripts = st.binary(max_size=300)
inputs = st.builds(TxInput, txids, uint32, scripts, uint32)
outputs = st.builds(TxOutput, st.integers(0, 21_000_000 * 10**8).map(Swartz), scripts)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    ins = tuple(draw(st.lists(inputs, min_size=1, max_size=4)))
    stacks = st.lists(st.binary(max_size=80), max_size=3).map(tuple)
    witnesses = tuple(draw(st.lists(stacks, min_size=len(ins), max_size=len(ins))))
    outs = tuple(draw(st.lists(outputs, max_size=4)))
    version = draw(st.integers(-(2**31), 2**31 - 1))
    return Transaction(version, ins, outs, witnesses if any(witnesses) else (), draw(uint32))


def test_bitcoins_first_transaction_reads_as_known() -> None:
    tx = parse_transaction(BITCOIN_GENESIS_COINBASE)
    assert tx.txid == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert tx.inputs[0].prev_txid == "00" * 32
    assert tx.outputs[0].amount == Swartz(5_000_000_000)
    assert (tx.base_size, tx.serialise()) == (204, BITCOIN_GENESIS_COINBASE)


def test_a_segwit_transaction_is_written_back_and_its_txid_leaves_the_witness_out() -> None:
    tx = parse_transaction(BIP143_SIGNED)
    assert tx.serialise() == BIP143_SIGNED
    assert [len(stack) for stack in tx.witnesses] == [0, 2]
    without_witness = parse_transaction(tx.serialise_base())
    assert without_witness.witnesses == ()
    assert without_witness.txid == tx.txid
    assert tx.base_size == len(tx.serialise_base()) < len(BIP143_SIGNED)


@given(transactions())
def test_what_is_written_is_read_back(tx: Transaction) -> None:
    assert parse_transaction(tx.serialise()) == tx
    assert read_transaction(b"ab" + tx.serialise() + b"c", 2) == (tx, 2 + len(tx.serialise()))


@given(transactions(), st.data())
def test_a_cut_transaction_is_refused(tx: Transaction, data: st.DataObject) -> None:
    raw = tx.serialise()
    with pytest.raises(BadTransaction):
        parse_transaction(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(transactions(), st.data())
def test_a_changed_byte_is_another_transaction_or_none(tx: Transaction, data: st.DataObject) -> None:
    raw = bytearray(tx.serialise())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(BadTransaction):
        assert parse_transaction(bytes(raw)).serialise() == raw


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with suppress(BadTransaction):
        assert parse_transaction(raw).serialise() == raw


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (BIP143_SIGNED + b"\0", "1 bytes too many"),
        (BITCOIN_GENESIS_COINBASE[:4] + b"\x00" + BITCOIN_GENESIS_COINBASE[46:], "no inputs"),
        (BITCOIN_GENESIS_COINBASE[:4] + b"\xfd\x01\x00" + BITCOIN_GENESIS_COINBASE[5:], "longer than needed"),
        (BITCOIN_GENESIS_COINBASE[:4] + b"\xff" + b"\xff" * 8 + BITCOIN_GENESIS_COINBASE[5:], "cut off"),
        (BITCOIN_GENESIS_COINBASE.replace(b"\x00\xf2\x05\x2a\x01\x00\x00\x00", b"\xff" * 8), "out of range"),
    ],
)
def test_what_a_node_would_not_read_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(BadTransaction, match=why):
        parse_transaction(raw)


def test_a_superfluous_witness_is_refused() -> None:
    raw = BITCOIN_GENESIS_COINBASE
    with pytest.raises(BadTransaction, match="superfluous"):
        parse_transaction(raw[:4] + b"\x00\x01" + raw[4:-4] + b"\x00" + raw[-4:])


def test_a_foreign_coinbase_may_have_no_outputs() -> None:
    tx = Transaction(1, (TxInput(Txid("00" * 32), 0xFFFFFFFF, b"\x51"),), ())
    assert read_transaction(tx.serialise(), 0)[0] == tx


@given(st.integers(0, 2**64 - 1))
def test_compact_sizes_come_back(number: int) -> None:
    assert read_compact_size(compact_size(number), 0) == (number, len(compact_size(number)))


# --- merkle trees


def test_the_root_of_a_known_block() -> None:
    assert merkle_root(BLOCK_100000_TXIDS)[::-1].hex() == BLOCK_100000_ROOT


@given(st.lists(txids, min_size=1, max_size=40, unique=True), st.data())
def test_every_branch_folds_to_the_root(block: list[Txid], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(block) - 1))
    branch = branch_of(block, position)
    assert fold_merkle_branch(block[position], branch, position) == merkle_root(block)


@given(st.lists(txids, min_size=2, max_size=40, unique=True), st.data())
def test_no_branch_folds_at_a_position_outside_the_tree(block: list[Txid], data: st.DataObject) -> None:
    """Without the bound one transaction would have a proof at infinitely many positions."""
    position = data.draw(st.integers(0, len(block) - 1))
    branch = branch_of(block, position)
    with pytest.raises(BadMerkleBranch):
        fold_merkle_branch(block[position], branch, position + (1 << len(branch)))


@given(st.lists(txids, min_size=1, max_size=9, unique=True))
def test_a_list_that_repeats_its_tail_has_no_root(block: list[Txid]) -> None:
    """CVE-2012-2459: [1, 2, 3] and [1, 2, 3, 3] would have the same root."""
    if len(block) % 2:
        with pytest.raises(BadMerkleBranch, match="twice"):
            merkle_root([*block, Txid(block[-1])])


@pytest.mark.parametrize("txid", ["", "zz" * 32, "00" * 31, "00" * 33, "é"])
def test_what_is_not_a_hash_is_refused(txid: Txid) -> None:
    with pytest.raises(BadMerkleBranch):
        merkle_root([txid])
    with pytest.raises(BadMerkleBranch):
        fold_merkle_branch(txid, [], 0)
    with pytest.raises(BadMerkleBranch):
        fold_merkle_branch(Txid("00" * 32), [txid], 0)


def test_an_endless_branch_is_refused() -> None:
    with pytest.raises(BadMerkleBranch, match="longer"):
        fold_merkle_branch(Txid("00" * 32), ["00" * 32] * 33, 0)


def branch_of(block: list[Txid], position: int) -> list[str]:
    """The siblings that a server sends for the transaction at `position`, built the slow and obvious way."""
    level, branch = [bytes.fromhex(txid)[::-1] for txid in block], []
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        branch.append(level[position ^ 1][::-1].hex())
        level = [double_sha256(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        position //= 2
    return branch
