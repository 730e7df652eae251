"""Signed receipts: one encoding for each content, every changed byte refused, and proofs told from claims."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.memory.signer import MemorySigner
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, double_sha256
from pinning_worker.domain.content.cid import DAG_CBOR
from pinning_worker.domain.identities import PeerId, Script, Txid
from pinning_worker.domain.money.signed_content import BadContent, canonical, is_signed_by, read_signature
from pinning_worker.domain.money.signed_receipt import (
    FIELDS,
    BadReceipt,
    Purchase,
    SignedReceipt,
    read_receipt,
    sign_receipt,
)
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.receipt_check import CLAIMED, Findings, check_receipt
from tests.domain.receipts import CID, HEIGHT, SIGNER, payment, purchase, receipt

RECEIPT = receipt()
BLOCK = RECEIPT.encode()
ANOTHER = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
NUMBERS = st.integers(0, 2**53 - 1)


def check(one: SignedReceipt) -> Findings:
    """With a chain that has the receipt's block."""
    return check_receipt(one, lambda height, block_hash: (height, block_hash) == (HEIGHT, RECEIPT.purchase.block_hash))


def holds(data: bytes) -> bool:
    try:
        return not check(read_receipt(data)).refused
    except BadReceipt:
        return False


def test_a_receipt_holds_and_tells_what_it_proves() -> None:
    found = check(RECEIPT)
    assert found.refused == []
    worker, txid, block_hash = RECEIPT.purchase.worker, RECEIPT.purchase.txid, RECEIPT.purchase.block_hash
    assert found.proven == [
        f"the peer {worker} signed this receipt, as it is",
        f"the transaction {txid} is in the block {block_hash}",
        "it pays 7004482 swartz by its outputs [1, 2]",
        f"it names the CID {CID} under the name 'art/1'",
        "that block is in our chain, at height 1",
    ]
    assert tuple(found.claimed) == CLAIMED


def test_it_is_read_as_it_was_written_in_both_forms() -> None:
    assert read_receipt(BLOCK) == RECEIPT == read_receipt(RECEIPT.encode_json().encode())
    assert RECEIPT.cid.codec == DAG_CBOR
    assert str(RECEIPT.cid).startswith("bafyrei")


@given(st.integers(0, len(BLOCK) - 1), st.integers(1, 255))
def test_every_byte_changed_is_refused(at: int, by: int) -> None:
    changed = bytearray(BLOCK)
    changed[at] ^= by
    assert not holds(bytes(changed))


@given(st.integers(0, len(BLOCK)), st.binary(max_size=3))
def test_a_receipt_that_is_cut_or_longer_is_refused(at: int, more: bytes) -> None:
    data = BLOCK[:at] + more
    assert data == BLOCK or not holds(data)
    assert not holds(BLOCK + b"\x00" + more)


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_is_raised(data: bytes) -> None:
    for each in (data, b"\xa1" + data, b"{" + data, BLOCK[:50] + data):
        assert not holds(each)


@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_each_field_is_signed(name: str, data: st.DataObject) -> None:
    """Catches: a field that the signature does not cover."""
    changed = replace(RECEIPT.purchase, **{name: data.draw(other(getattr(RECEIPT.purchase, name)))})
    assert not SignedReceipt(changed, RECEIPT.signature).is_signed()
    assert check(SignedReceipt(changed, RECEIPT.signature)).refused


def other(value: Any) -> st.SearchStrategy[Any]:
    """Another value of the same kind."""
    match value:
        case int():
            return NUMBERS.filter(lambda each: each != value)
        case Swartz():
            return NUMBERS.map(Swartz).filter(lambda each: each != value)
        case bytes():
            return st.binary(min_size=80, max_size=80).filter(lambda each: each != value)
        case str() if value == SIGNER.peer_id:
            return st.binary(min_size=32, max_size=32).map(lambda seed: MemorySigner(seed).peer_id)
        case str():
            return st.text().filter(lambda each: each != value)
        case tuple():
            return st.just(value[1:])
        case _:
            return st.just(value + timedelta(seconds=1))


@given(NUMBERS, NUMBERS, st.text(), st.lists(NUMBERS, max_size=4), st.sampled_from(["", "ab" * 32]))
def test_one_encoding_for_each_content(size: int, height: int, name: str, vouts: list[int], tariff_hash: str) -> None:
    content = replace(purchase(), size=size, height=height, name_id=name, vouts=tuple(vouts), tariff_hash=tariff_hash)
    signed = sign_receipt(content, SIGNER.sign)
    block = signed.encode()
    assert read_receipt(block) == signed
    assert read_receipt(signed.encode_json().encode()).encode() == block
    shuffled = dict(reversed(list(signed.fields().items())))
    assert canonical(shuffled) == block
    loose = cbor2.dumps(shuffled)
    assert loose == block or not holds(loose)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bytes": 1.0},
        {"bytes": True},
        {"bytes": -1},
        {"bytes": 2**53},
        {"txid": "AB" * 32},
        {"txid": "ab" * 31},
        {"header": "00" * 79},
        {"branch": "ab"},
        {"branch": ["zz"]},
        {"starts": "2026-11-20T12:00:00Z"},
        {"starts": "2026-11-20T13:00:00.000+01:00"},
        {"starts": "yesterday"},
        {"cid": "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR"},
        {"cid": "x"},
        {"type": "pinning-quote/1"},
        {"signature": "AA"},
        {"signature": RECEIPT.fields()["signature"] + "="},  # type: ignore[operator]
        {"nameId": b"art/1"},
        {"nameId": None},
        {"more": 1},
    ],
    ids=str,
)
def test_another_spelling_is_no_receipt(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(BadReceipt):
        read_receipt(canonical({**RECEIPT.fields(), **wrong}))
    if b"art/1" not in wrong.values():
        with pytest.raises(BadReceipt):
            read_receipt(json.dumps({**RECEIPT.fields(), **wrong}).encode())


def test_a_field_that_lacks_is_named() -> None:
    fields = RECEIPT.fields()
    del fields["branch"]
    with pytest.raises(BadReceipt, match="branch"):
        read_receipt(canonical(fields))


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(BadReceipt):
        read_receipt(json.dumps({**RECEIPT.fields(), "nameId": "\ud83d"}).encode())


def test_the_receipt_in_the_documentation_holds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "receipts.md").read_text()
    [sample] = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shown = read_receipt(sample.encode())
    assert check(shown).refused == []
    assert f"has the CID `{shown.cid}`" in page
    for name in shown.fields():
        assert re.search(rf"^\|.*`{name}`", page, re.MULTILINE), name


# --- a worker that lies, with its own good signature


LIES: list[tuple[str, Purchase, str]] = [
    ("amount", replace(purchase(), amount=Swartz(7_004_483)), "amount"),
    ("vout", replace(purchase(), vouts=(1,)), "amount"),
    ("vout twice", replace(purchase(), vouts=(2, 1)), "amount"),
    ("vout beyond", replace(purchase(), vouts=(1, 2, 3)), "amount"),
    ("name", replace(purchase(), name_id="art/2"), "name"),
    (
        "cid",
        replace(purchase(), cid=ANOTHER),
        "CID",
    ),
    ("txid", replace(purchase(), txid=Txid("cd" * 32)), "txid"),
    ("branch", replace(purchase(), branch=("cd" * 32, *purchase().branch[1:])), "branch"),
    ("long branch", replace(purchase(), branch=("cd" * 32,) * 33), "branch"),
    ("position", replace(purchase(), position=0), "branch"),
    ("position beyond", replace(purchase(), position=4), "branch"),
    ("header", replace(purchase(), header=b"\x00" * 80), "header"),
    ("block hash", replace(purchase(), block_hash="cd" * 32), "header"),
    ("height", replace(purchase(), height=2), "chain"),
    ("months", replace(purchase(), months=9), "term"),
    ("no months", replace(purchase(), months=0), "term"),
    ("starts later", replace(purchase(), starts=purchase().starts + timedelta(days=1)), "term"),
    ("transaction", replace(purchase(), transaction=b"\x01" * 70), "transaction"),
    ("a byte more", replace(purchase(), transaction=purchase().transaction + b"\x00"), "transaction"),
]


@pytest.mark.parametrize(("content", "reason"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_a_signed_lie_is_refused_and_proves_nothing(content: Purchase, reason: str) -> None:
    found = check(receipt(content))
    assert any(reason in each for each in found.refused), found
    assert (found.proven, found.claimed) == ([], [])


def test_an_inner_node_of_the_tree_is_no_transaction() -> None:
    """CVE-2017-12842: 64 bytes that are two hashes for one reader, and a transaction for another."""
    tiny = Transaction(1, (TxInput(Txid("ab" * 32), 0, b"\x51" * 4),), (TxOutput(Swartz(1), Script(b"")),))
    assert len(tiny.serialise_base()) == 64
    content = replace(purchase(tiny), amount=Swartz(1), vouts=(0,))
    assert double_sha256(content.transaction)[::-1].hex() == content.txid
    assert any("64 bytes" in each for each in check(receipt(content)).refused)


def test_a_transfer_that_names_nothing_only_claims_its_purpose() -> None:
    plain = replace(payment(), version=2)
    found = check_receipt(receipt(purchase(plain)), lambda *_: True)
    assert found.refused == []
    assert any("names neither" in each for each in found.claimed)
    assert not any("names the CID" in each for each in found.proven)


def test_an_assigned_payment_whose_name_op_names_no_cid_only_claims_its_purpose() -> None:
    """Catches: a receipt of our own that our own verifier refuses, after `ledger assign`."""
    assigned = purchase(payment(name=b"other", value=b"hello"))
    found = check_receipt(receipt(assigned), lambda *_: True)
    assert found.refused == []
    assert any("names no CID" in each for each in found.claimed)
    assert not any("names the CID" in each for each in found.proven)


def test_headers_that_do_not_reach_the_block_leave_it_a_claim() -> None:
    found = check_receipt(RECEIPT, lambda *_: None)
    assert found.refused == []
    assert any("in the chain" in each for each in found.claimed)
    assert not any("our chain" in each for each in found.proven)


# --- signatures


def test_only_the_peers_own_key_signs_for_it() -> None:
    theirs = MemorySigner(b"\x02" * 32)
    assert is_signed_by(SIGNER.peer_id, b"a", SIGNER.sign(b"a"))
    assert not is_signed_by(SIGNER.peer_id, b"a", theirs.sign(b"a"))
    assert not is_signed_by(SIGNER.peer_id, b"b", SIGNER.sign(b"a"))


def test_a_signature_has_one_form() -> None:
    """Catches: s + the group's order, with which weak verifiers find the same signature true."""
    order = 2**252 + 27742317777372353535851937790883648493
    good = SIGNER.sign(b"a")
    again = good[:32] + (int.from_bytes(good[32:], "little") + order).to_bytes(32, "little")
    assert not is_signed_by(SIGNER.peer_id, b"a", again)


@pytest.mark.parametrize("peer", ["", "x", "0", "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR", "12D3KooW"])
def test_a_peer_id_without_an_ed25519_key_signs_nothing(peer: str) -> None:
    with pytest.raises(BadContent):
        is_signed_by(PeerId(peer), b"a", bytes(64))


@given(st.text())
def test_a_text_that_is_no_signature_is_bad_content(text: str) -> None:
    with pytest.raises(BadContent):
        read_signature(text)
