"""Rows for the books, each field with a value of its own, and text of the kind that strangers write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.identities import NameBytes, PeerId, Txid
from pinning_worker.domain.money.payment import PaidOutput, Payment, PaymentProof, Proof
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.receipt import Receipt
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import Asker, Pin, Request, Share, State

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)
HOUR = timedelta(hours=1)
STRANGE = "c\x00t \ud83d \\u0000 \\ Ünï 🐈.jpg"  # NUL, half a surrogate pair, what an escape looks like
ROOT, OTHER, IMAGE = (Root(b"\x01\x55\x12\x20" + bytes([number]) * 32) for number in (1, 2, 3))
TXID, OTHER_TXID = Txid("aa" * 32), Txid("bb" * 32)
NAME, NO_NAME = NameBytes(b"alice"), NameBytes(b"")


def block_name(number: int) -> Multihash:
    """A multihash, different for each number."""
    return Multihash(b"\x12\x20" + number.to_bytes(32, "big"))


def request(root: Root = ROOT, **changes: Any) -> Request:
    filled: dict[str, Any] = {
        "state": State.QUOTED,
        "due_at": NOW + HOUR,
        "askers": (
            Asker(
                "bafy1",
                STRANGE,
                3,
                PeerId("12D3KooWA"),
                ("/ip4/127.0.0.1/tcp/1",),
                PeerId("12D3KooWB"),
                "2001:db8::/64",
            ),
            Asker("Qm2", None, 8, PeerId("12D3KooWB")),
        ),
        "sizes": Sizes(1_000, 2_000, 3_000),
        "blocks": 7,
        "references": (IMAGE, OTHER, IMAGE),
        "foreign": ("https://example.org/" + STRANGE,),
        "file_name": STRANGE,
        "failure": ErrorCode.TIMEOUT,
        "reason": "blocks stopped: " + STRANGE,
        "attempts": 2,
        "staged_for": (
            Share("203.0.113.7", PeerId("12D3KooWA"), PeerId("12D3KooWB")),
            Share("12D3KooWB", PeerId("12D3KooWB"), PeerId("12D3KooWB")),
        ),
    }
    return Request(root, **{**filled, **changes})


def bare_request(root: Root = ROOT, state: State = State.REQUESTED) -> Request:
    return Request(root, state, due_at=None)


def pin(root: Root = ROOT, name: NameBytes = NAME, **changes: Any) -> Pin:
    filled: dict[str, Any] = {
        "cid_text": "bafy1",
        "state": State.PINNED,
        "due_at": NOW + 2 * HOUR,
        "starts": NOW - HOUR,
        "ends": NOW + 5 * HOUR,
        "reminded": 7,
        "unproven_at": 345_678,
        "reason": STRANGE,
        "attempts": 1,
    }
    return Pin(root, name, **{**filled, **changes})


def bare_pin(root: Root = ROOT, name: NameBytes = NO_NAME) -> Pin:
    return Pin(root, name, "", State.SEEN, due_at=None)


def quote(id: str = "q1", root: Root = ROOT, **changes: Any) -> Quote:
    filled: dict[str, Any] = {
        "cid_text": "bafy1",
        "months": 3,
        "amount": Swartz(21_000_000 * 100_000_000),  # all the coins there will be
        "tariff": 2,
        "tariff_hash": "ab" * 32,
        "sizes": Sizes(1_000, 2_000, 3_000),
        "blocks": 7,
        "issued": NOW,
        "expires": NOW + 24 * HOUR,
        "payment_address": "mkAddress",
        "payment_script": b"\x76\xa9\x14\x00",
        "network": "doichain-regtest",
        "foreign": (STRANGE,),
    }
    return Quote(id, root, **{**filled, **changes})


def payment(txid: Txid = TXID, root: Root = ROOT, name: NameBytes = NAME, **changes: Any) -> Payment:
    filled: dict[str, Any] = {
        "cid_text": "bafy1",
        "outputs": (PaidOutput(0, Swartz(5)), PaidOutput(4_294_967_295, Swartz(0))),
        "first_seen": NOW,
        "proof": proof(100),
        "settled": True,
        "announced": 6,
        "gone": False,
    }
    return Payment(txid, root, name=name, **{**filled, **changes})


def bare_payment(txid: Txid = TXID, root: Root = ROOT, name: NameBytes = NAME, **changes: Any) -> Payment:
    return Payment(txid, root, "", name, **{"outputs": (), "first_seen": NOW, "proof": None, **changes})


def proof(height: int) -> Proof:
    return Proof(height, f"{height:064x}", NOW.replace(microsecond=0) + height * timedelta(minutes=10), position=3)


def receipt(cid: str = "bafy1", txid: Txid = TXID, **changes: Any) -> Receipt:
    filled: dict[str, Any] = {
        "name_id": STRANGE,
        "file_name": STRANGE,
        "size": 5_000_000_000,
        "blocks": 7,
        "received": Swartz(6),
        "fee": Swartz(5),
        "months": 3,
        "quote_id": "q1",
        "pinned_at": NOW,
        "starts": NOW - HOUR,
        "ends": NOW + HOUR,
        "released_at": None,
    }
    return Receipt(cid, txid=txid, **{**filled, **changes})


def payment_proof(txid: Txid = TXID, **changes: Any) -> PaymentProof:
    filled: dict[str, Any] = {
        "transaction": b"\x00\xff" * 100,
        "header": bytes(range(80)),
        "position": 4_294_967_295,
        "branch": ("ab" * 32, "00" * 32),
    }
    return PaymentProof(txid, **{**filled, **changes})
