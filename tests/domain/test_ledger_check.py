"""The books against the bytes kept with them: whatever is changed in either is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pinning_worker.domain.chain.headers import parse_header
from pinning_worker.domain.chain.nameop import NAME_TX_VERSION, name_doi_script
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, merkle_root
from pinning_worker.domain.content.cid import RAW, Root, cid_of
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.ledger_check import Shown, check_payment, differences
from pinning_worker.domain.money.entry import Entry, EntryKind
from pinning_worker.domain.money.payment import PaidOutput, Payment, PaymentProof, Proof
from pinning_worker.domain.money.swartz import Swartz
from tests.adapters.electrum.scripted import branch_of, coinbase
from tests.mining import REGTEST_GENESIS, mine

OURS, STRANGER = Script(b"\x00\x14" + b"\x0a" * 20), Script(b"\x00\x14" + b"\x0c" * 20)
CID, NAME = cid_of(RAW, b"art"), NameBytes(b"art/1")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def transaction(value: bytes = f"ipfs://{CID}".encode(), amount: int = 800) -> Transaction:
    outputs = (
        TxOutput(Swartz(1_000), name_doi_script(NAME, value, STRANGER)),
        TxOutput(Swartz(amount), OURS),
        TxOutput(Swartz(5), STRANGER),
    )
    return Transaction(NAME_TX_VERSION, (TxInput(Txid("11" * 32), 0),), outputs)


def booked(paid: Transaction) -> tuple[Payment, PaymentProof]:
    """The payment and its proof, third in a block of four."""
    txids = [coinbase(1).txid, coinbase(2).txid, paid.txid, coinbase(3).txid]
    header = mine(REGTEST_GENESIS, merkle_root=merkle_root(txids))
    kept = PaymentProof(paid.txid, paid.serialise_base(), header, 2, tuple(branch_of(txids, 2)))
    time = datetime.fromtimestamp(REGTEST_GENESIS.time, UTC) + timedelta(minutes=10)
    block_hash = mine_hash(header)
    proof = Proof(1, block_hash, time, 2)
    return Payment(paid.txid, CID.key, str(CID), NAME, (PaidOutput(1, Swartz(800)),), NOW, proof, settled=True), kept


def mine_hash(header: bytes) -> str:
    return parse_header(header).block_hash


PAYMENT, KEPT = booked(transaction())


def has_block(height: int, block_hash: str) -> bool | None:
    assert PAYMENT.proof is not None
    return (height, block_hash) == (1, PAYMENT.proof.block_hash)


def checked(payment: Payment = PAYMENT, kept: PaymentProof | None = KEPT, entries: tuple[Entry, ...] = ()) -> Any:
    return check_payment(payment, kept, entries, {OURS}, has_block)


def test_a_payment_that_its_bytes_prove_has_no_fault() -> None:
    found = checked()
    assert (found.fault, found.unproven, found.by_script) == ("", "", {OURS: Swartz(800)})


OTHER_BLOCK = Proof(1, "ab" * 32, datetime.fromtimestamp(REGTEST_GENESIS.time, UTC) + timedelta(minutes=10), 2)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"outputs": (PaidOutput(1, Swartz(801)),)}, "booked with 801"),
        ({"outputs": (PaidOutput(7, Swartz(800)),)}, "output 7"),
        ({"outputs": (PaidOutput(2, Swartz(5)),)}, "output 1 pays 800 swartz to us and is not booked"),
        ({"outputs": ()}, "is not booked"),
        ({"name": NameBytes(b"art/2")}, "another CID or name"),
        ({"root": cid_of(RAW, b"other").key}, "another CID or name"),
        ({"root": Root(b"")}, "another CID or name"),
        ({"proof": None}, "stands in no block"),
        ({"proof": OTHER_BLOCK}, "another block"),
        ({"txid": Txid("22" * 32)}, "another one"),
    ],
)
def test_books_that_say_otherwise_than_the_bytes_are_at_fault(changes: dict[str, Any], fault: str) -> None:
    assert fault in checked(replace(PAYMENT, **changes)).fault


@pytest.mark.parametrize("part", ["transaction", "header", "branch", "position"])
def test_kept_bytes_of_which_one_is_changed_prove_nothing(part: str) -> None:
    """Each byte of each part, one after the other."""
    for kept in changed(part):
        found = check_payment(PAYMENT, kept, (), {OURS}, has_block)
        assert found.fault, kept


def changed(part: str) -> list[PaymentProof]:
    if part == "position":
        return [replace(KEPT, position=position) for position in (0, 1, 3, 4, 99)]
    if part == "branch":
        twisted = [(KEPT.branch[0][:-1] + "0", KEPT.branch[1]), KEPT.branch[:1], (*KEPT.branch, "00" * 32), ("zz",) * 2]
        return [replace(KEPT, branch=each) for each in twisted if each != KEPT.branch]
    whole: bytes = getattr(KEPT, part)
    flipped = (whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :] for at in range(len(whole)))
    pieces = (*flipped, whole[:-1], whole + b"\0")
    return [replace(KEPT, transaction=each) if part == "transaction" else replace(KEPT, header=each) for each in pieces]


def test_what_is_missing_is_unproven_and_no_fault() -> None:
    assert "not kept yet" in checked(kept=None).unproven
    out_of_reach = check_payment(PAYMENT, KEPT, (), {OURS}, lambda _height, _hash: None)
    assert (out_of_reach.fault, out_of_reach.unproven) == ("", "the stored headers do not reach block 1")
    strange = check_payment(PAYMENT, KEPT, (), set(), has_block)
    assert (strange.fault, "an address that neither" in strange.unproven) == ("", True)
    assert "another block" in check_payment(PAYMENT, KEPT, (), {OURS}, lambda _height, _hash: False).fault


def test_an_assigned_payment_is_one_that_an_entry_assigns() -> None:
    stray, kept = booked(transaction(value=b"hello"))
    entry = Entry(1, EntryKind.ASSIGNED, NOW, stray.txid, CID.key, str(CID), NAME)
    known = {"has_block": lambda _height, _hash: True}
    assert "no entry assigns it" in check_payment(stray, kept, (), {OURS}, **known).fault
    assert not check_payment(stray, kept, (entry,), {OURS}, **known).fault
    assert check_payment(stray, kept, (replace(entry, root=Root(b"other")),), {OURS}, **known).fault


def test_a_server_that_shows_otherwise_is_named() -> None:
    agrees = Shown("tcp://one", {PAYMENT.txid: 1}, {})
    assert list(differences([PAYMENT], agrees)) == []
    hides = Shown("tcp://one", {}, {Txid("33" * 32): Swartz(7)})
    assert list(differences([PAYMENT], hides)) == [
        f"{PAYMENT.txid} is booked in block 1, and tcp://one shows it in no block",
        f"tcp://one shows {'33' * 32}, which pays us 7 swartz, and the books do not have it",
    ]
    assert "shows it in block 2" in next(differences([PAYMENT], Shown("tcp://one", {PAYMENT.txid: 2}, {})))
