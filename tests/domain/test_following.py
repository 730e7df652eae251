"""What a worker's answers mean to the one who asked: transcripts of a topic, in the worker's own encoding."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from pinning_worker.domain.content.cid import Cid, cid_of, parse_cid
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.following import (
    Audited,
    Fetching,
    Following,
    Gone,
    Kept,
    Offer,
    Pinned,
    Refused,
    Seen,
    Short,
)
from pinning_worker.domain.topic.messages import (
    AddedCid,
    AddingCid,
    CidPinnedWithName,
    Error,
    FetchingCid,
    Message,
    PaymentGone,
    PaymentSeen,
    PaymentShort,
    Renewal,
)
from pinning_worker.domain.topic.requests import Ask, parse

CID = cid_of(0x55, b"a picture")
OTHER = cid_of(0x55, b"another")
TEXT = str(CID)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FEE = Swartz(7_004_482)


def quote(months: int = 8, network: str = "doichain-regtest") -> Quote:
    sizes, script = Sizes(9, 0, 9), Script(b"\x00\x14" + bytes(20))
    return Quote(
        "q1", CID.key, TEXT, months, FEE, 1, "", sizes, 1, NOW, NOW + timedelta(days=1), "ncrt1q", script, network
    )


def pinned(name: str, days: int = 241, id_: str | None = None) -> CidPinnedWithName:
    return CidPinnedWithName(TEXT, NameBytes(name.encode()), NOW + timedelta(days=days), days, Renewal.of(quote()), id_)


def until(days: int = 241) -> str:
    return (NOW + timedelta(days=days)).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def seen(depth: int) -> PaymentSeen:
    return PaymentSeen(TEXT, NameBytes(b"art/1"), Txid("1f0e"), FEE, depth, 6, "q1")


def follow(*messages: Message, months: int | None = None) -> list[object]:
    following = Following(CID, "ours", months)
    return [step for message in messages if (step := following.heard(message.encode())) is not None]


OFFERED = AddingCid(TEXT, quote(), "ours")
OFFER = Offer(FEE, 8, "ncrt1q", "q1", "2026-11-30T12:00:00.000Z", "doichain-regtest", 9, 1, ())


def test_the_question_is_one_that_a_worker_reads() -> None:
    assert parse(Following(CID, "ours", 3).question()) == Ask(CID, TEXT, "ours", 3)
    assert parse(Following(CID, "ours").question()) == Ask(CID, TEXT, "ours", None)


def test_the_whole_story() -> None:
    added, pin = AddedCid(TEXT, receipt="bafyrei…"), pinned("art/1")
    assert follow(FetchingCid(TEXT, 1, 5, "ours"), OFFERED, seen(0), seen(6), added, pin) == [
        Fetching(1, 5),
        OFFER,
        Seen("art/1", Txid("1f0e"), FEE, 0, 6),
        Seen("art/1", Txid("1f0e"), FEE, 6, 6),
        Audited("bafyrei…"),
        Pinned("art/1", until()),
    ]


def test_a_repeated_offer_and_others_offers_are_no_steps() -> None:
    assert follow(AddingCid(TEXT, quote(3), "theirs"), AddingCid(TEXT, quote()), OFFERED, OFFERED) == [OFFER]


def test_what_is_kept_already_is_not_what_was_paid_for() -> None:
    told = follow(pinned("art/1", id_="ours"), OFFERED, pinned("art/1", id_="ours"), pinned("art/1", 484))
    assert told == [Kept("art/1", until()), OFFER, Pinned("art/1", until(484))]


def test_a_pin_whose_announcement_was_lost_is_found_by_asking_again() -> None:
    assert follow(OFFERED, pinned("art/1", id_="ours")) == [OFFER, Pinned("art/1", until())]


def test_too_little_is_told() -> None:
    gone = PaymentGone(TEXT, NameBytes(b"art/1"), Txid("1f0e"), Swartz(5))
    assert follow(OFFERED, gone) == [OFFER, Gone("art/1", Txid("1f0e"))]
    short = PaymentShort(TEXT, NameBytes(b"art/1"), Txid("1f0e"), Swartz(5), Swartz(7), "ncrt1q", "q1", 8, Swartz(1))
    assert follow(OFFERED, short) == [OFFER, Short("art/1", Txid("1f0e"), Swartz(5), Swartz(7))]


def test_a_refusal_ends_it_before_the_offer_only() -> None:
    busy = Error(TEXT, ErrorCode.BUSY, "cannot see the chain", "ours", 60)
    following = Following(CID, "ours")
    refused = following.heard(busy.encode())
    assert refused == Refused("BUSY", "cannot see the chain", 60)
    assert following.ends_with(refused)
    following.heard(OFFERED.encode())
    assert following.heard(busy.encode()) == refused
    assert not following.ends_with(refused)


def test_refusals_of_others_are_not_ours() -> None:
    assert follow(Error(TEXT, ErrorCode.BAD_CID, "no", "theirs"), Error(TEXT, ErrorCode.BAD_CID, "no")) == []


def test_another_spelling_is_the_same_cid_and_another_cid_is_not() -> None:
    v0 = parse_cid("QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR")
    v1 = Cid(1, v0.codec, v0.multihash)
    following = Following(v0, "ours")
    assert following.heard(FetchingCid(str(v1), 1, 5).encode()) == Fetching(1, 5)
    assert following.heard(FetchingCid(str(OTHER), 1, 5).encode()) is None


@pytest.mark.parametrize(
    "said",
    [
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"status":"ADDING-CID"}',
        json.dumps({"status": "ADDING-CID", "cid": TEXT, "id": "ours"}).encode(),
        json.dumps({"status": "FETCHING-CID", "cid": TEXT, "blocks": "1", "bytes": 2}).encode(),
        json.dumps({"status": "FETCHING-CID", "cid": 7, "blocks": 1, "bytes": 2}).encode(),
        json.dumps({"status": "SOMETHING-NEW", "cid": TEXT, "id": "ours"}).encode(),
        OFFERED.encode().replace(b'"ncrt1q"', b'""'),
    ],
)
def test_what_is_not_as_agreed_is_no_step(said: bytes) -> None:
    assert Following(CID, "ours").heard(said) is None
