"""What a payment is, what it names, and its place in the chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import multibase

from pinning_worker.domain.content.cid import DAG_PB, Cid, cid_of
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import (
    PaidOutput,
    Payment,
    Proof,
    Sighting,
    in_chain_order,
    is_deep,
    named_cid,
    record_sighting,
)
from pinning_worker.domain.money.swartz import Swartz
from tests.domain.ledger_rows import CID, DAY, NAME, NOON, block_time, payment, proof, tip

V0 = Cid(0, DAG_PB, cid_of(DAG_PB, b"folder").multihash)
V1 = Cid(1, DAG_PB, V0.multihash)


# ---------------------------------------------------------------- the CID that it names


@pytest.mark.parametrize("cid", [V0, V1], ids=["v0", "v1"])
@pytest.mark.parametrize(
    "value",
    [
        "ipfs://{}",
        "IPFS://{}",
        "ipfs://ipfs/{}",
        "/ipfs/{}",
        "{}",
        "ipfs://{}/image.png",
        "/ipfs/{}/a/b",
        "ipfs://{}/",
        "ipfs://{}?x#y",
        " ipfs://{}\n",
        "https://gateway.example/ipfs/{}/image.png",
    ],
)
def test_every_spelling_names_the_same_root(cid: Cid, value: str) -> None:
    named = named_cid(value.format(cid).encode())
    assert named is not None
    assert (named[0].key, named[1]) == (V1.key, str(cid))


@pytest.mark.parametrize("base", ["base16", "base32", "base32upper", "base36", "base58btc", "base64", "base64url"])
def test_any_multibase_names_it(base: str) -> None:
    text = multibase.encode(V1.key, base)
    assert named_cid(f"ipfs://{text}/x".encode()) == (V1, text)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"ipfs://",
        b"ipfs://undefined",
        b"https://example.org/a.png",
        b"ipfs://\xff\xfe",
        b"ipfs://" + b"b" * 10_000,
        b"see ipfs://" + str(V1).encode(),
        f"ipfs://{V1}x".encode(),
    ],
)
def test_what_names_no_cid(value: bytes | None) -> None:
    assert named_cid(value) is None


@given(st.binary(max_size=200))
def test_no_value_of_a_stranger_is_a_fault_of_ours(value: bytes) -> None:
    for start in (b"", b"ipfs://", b"/ipfs/", b"https://gateway.example/ipfs/"):
        named_cid(start + value)


# ---------------------------------------------------------------- the ledger's row


def sighting(*amounts: int, value: bytes | None = None, height: int | None = None) -> Sighting:
    outputs = tuple(PaidOutput(vout, Swartz(amount)) for vout, amount in enumerate(amounts, start=1))
    shown = value if value is not None else f"ipfs://{CID}".encode()
    return Sighting(Txid("t"), NAME, shown, outputs, proof(height) if height is not None else None)


def test_all_outputs_to_us_are_summed() -> None:
    """Row 9: only the first output was looked at. Row 11: change was added; outputs not to us never get this far."""
    row = record_sighting(None, sighting(700, 41), NOON)
    assert (row.amount, row.root, row.name) == (Swartz(741), CID.key, NAME)


def test_money_that_names_nothing_is_a_row_too() -> None:
    row = record_sighting(None, sighting(700, value=b"hello"), NOON)
    assert (row.amount, row.root, row.cid_text) == (Swartz(700), b"", "")


def test_seen_again_it_is_the_same_row() -> None:
    row = record_sighting(None, sighting(700, height=5), NOON)
    assert record_sighting(row, sighting(700, height=5), NOON + DAY) == row


def test_an_old_row_keeps_what_was_decided_and_takes_the_new_proof() -> None:
    decided = replace(payment(Txid("t"), 700, 5, settled=True), announced=3)
    after = record_sighting(replace(decided, proof=None, gone=True), sighting(700, height=9), NOON + DAY)
    assert after == replace(decided, proof=proof(9))


@pytest.mark.parametrize(("at", "deep"), [(9, False), (10, False), (11, False), (12, True), (13, True)])
def test_one_confirmation_is_the_block_itself(at: int, deep: bool) -> None:
    assert is_deep(payment(Txid("t"), 1, 10), tip(at), 3) is deep
    assert not is_deep(payment(Txid("t"), 1), tip(at), 0)


# ---------------------------------------------------------------- the order of the chain


def at(height: int, position: int, txid: str) -> Payment:
    return replace(payment(Txid(txid), 1), proof=Proof(height, "", block_time(height), position))


def test_payments_are_folded_by_block_by_their_place_in_it_and_only_then_by_txid() -> None:
    """A block's transactions are read in any order; yet every node folds them alike. Those without a block are last."""
    earlier, first, second, third, nowhere = (
        at(6, 9, "z"), at(7, 1, "c"), at(7, 2, "a"), at(7, 2, "b"), payment(Txid("A"), 1)
    )  # fmt: skip
    for read in ([nowhere, third, first, second, earlier], [second, nowhere, earlier, third, first]):
        assert in_chain_order(read) == [earlier, first, second, third, nowhere]
