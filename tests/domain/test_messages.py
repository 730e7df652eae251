"""What we say, compared byte for byte with the recorded samples: a field renamed, moved or retyped breaks a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.listing import Days
from pinning_worker.domain.topic.messages import (
    AddedCid,
    AddingCid,
    CidPinnedWithName,
    Error,
    ExpiredCid,
    ExpiringCid,
    FetchingCid,
    InvalidDateFormat,
    ListError,
    Message,
    NameOps,
    Names,
    NoneFound,
    PaymentGone,
    PaymentSeen,
    PaymentShort,
    Renewal,
    date_text,
)
from pinning_worker.domain.topic.name_row import KeptMedia, NameRow

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
END = datetime(2027, 7, 20, 12, tzinfo=UTC)
QUOTE = Quote(
    id="5f2c9a",
    root=Root(b"\x01\x70\x12\x20" + bytes(32)),
    cid_text="Qm…",
    months=8,
    amount=Swartz(7_004_482),
    tariff=1,
    tariff_hash="5a0c3a3d5e6b2e1d",
    sizes=Sizes(1_152, 1_236_168, 1_237_320),
    blocks=7,
    issued=NOON,
    expires=NOON + timedelta(days=1),
    payment_address="N…",
    payment_script=Script(b"\x00\x14" + bytes(20)),
    network="doichain",
    foreign=("https://example.org/a.png",),
)
RENEWAL = Renewal.of(QUOTE)
RENEWAL_TEXT = (
    '"renewal":{"amount":7004482,"durationMonths":8,"paymentAddress":"N…","quoteId":"5f2c9a",'
    '"expires":"2026-11-21T12:00:00.000Z"}'
)
ROW = NameRow(
    txid=Txid("1f0e…"),
    height=500_001,
    blocktime=1_795_176_000,
    position=3,
    n=0,
    value_swartz=Swartz(1_000_000),
    name=NameBytes(b"art/1"),
    value="ipfs://bafy…".encode(),
    address="N…",
)

SAMPLES: list[tuple[Message, str]] = [
    (
        FetchingCid("bafy…", blocks=12, size=3_145_728, id="r1"),
        '{"status":"FETCHING-CID","cid":"bafy…","id":"r1","blocks":12,"bytes":3145728}',
    ),
    (
        FetchingCid("bafy…", blocks=0, size=0),
        '{"status":"FETCHING-CID","cid":"bafy…","blocks":0,"bytes":0}',
    ),
    (
        AddingCid("bafy…", QUOTE, id="r1", signature=b"\xff" * 64),
        (
            '{"status":"ADDING-CID","cid":"bafy…","sizes":{"metadata":"1.13 KB","image":"1.18 MB","total":"1.18 MB"},'
            '"fee":{"amount":7004482,"durationMonths":8,"paymentAddress":"N…"},"id":"r1",'
            '"bytes":{"metadata":1152,"image":1236168,"total":1237320},"blocks":7,'
            '"quote":{"id":"5f2c9a","priceVersion":1,"issued":"2026-11-20T12:00:00.000Z",'
            '"expires":"2026-11-21T12:00:00.000Z","network":"doichain","tariff":"5a0c3a3d5e6b2e1d",'
            '"cid":"bafybeiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","signature":"' + "_" * 85 + 'w"'
            '},"foreign":["https://example.org/a.png"]}'
        ),
    ),
    (
        PaymentSeen(
            "bafy…",
            NameBytes(b"art/1"),
            Txid("1f0e…"),
            Swartz(7_004_482),
            0,
            6,
            "5f2c9a",
        ),
        (
            '{"status":"PAYMENT-SEEN","cid":"bafy…","nameId":"art/1","txid":"1f0e…","amount":7004482,"confirmations":0,'
            '"confirmationsNeeded":6,"quoteId":"5f2c9a"}'
        ),
    ),
    (
        PaymentShort(
            "bafy…",
            NameBytes(b"art/1"),
            Txid("1f0e…"),
            Swartz(500),
            Swartz(7_003_982),
            "N…",
            "5f2c9a",
            8,
            Swartz(999_500),
        ),
        (
            '{"status":"PAYMENT-SHORT","cid":"bafy…","nameId":"art/1","txid":"1f0e…","received":500,"missing":7003982,'
            '"paymentAddress":"N…","quoteId":"5f2c9a","durationMonths":8,"missingForOneMonth":999500}'
        ),
    ),
    (
        PaymentGone("bafy…", NameBytes(b"art/1"), Txid("1f0e…"), Swartz(7_004_482)),
        '{"status":"PAYMENT-GONE","cid":"bafy…","nameId":"art/1","txid":"1f0e…","amount":7004482}',
    ),
    (
        AddedCid("bafy…"),
        '{"status":"ADDED-CID","cid":"bafy…"}',
    ),
    (
        AddedCid("bafy…", receipt="bafyrei…"),
        '{"status":"ADDED-CID","cid":"bafy…","receipt":"bafyrei…"}',
    ),
    (
        CidPinnedWithName("bafy…", NameBytes(b"art/1"), END, 241, RENEWAL),
        '{"status":"CID-PINNED-WITH-NAME","cid":"bafy…","nameId":"art/1","expirationDate":"2027-07-20T12:00:00.000Z",'
        '"remainingDays":241,' + RENEWAL_TEXT + "}",
    ),
    (
        CidPinnedWithName("bafy…", NameBytes(b"art/1"), END, 241, RENEWAL, id="r1"),
        '{"status":"CID-PINNED-WITH-NAME","cid":"bafy…","nameId":"art/1","expirationDate":"2027-07-20T12:00:00.000Z",'
        '"remainingDays":241,' + RENEWAL_TEXT + ',"id":"r1"}',
    ),
    (
        ExpiringCid("bafy…", NameBytes(b"art/1"), END, 7, RENEWAL),
        '{"status":"EXPIRING-CID","cid":"bafy…","nameId":"art/1","expirationDate":"2027-07-20T12:00:00.000Z",'
        '"remainingDays":7,' + RENEWAL_TEXT + "}",
    ),
    (
        ExpiredCid("bafy…", NameBytes(b"art/1"), END),
        '{"status":"EXPIRED-CID","cid":"bafy…","nameId":"art/1","expirationDate":"2027-07-20T12:00:00.000Z"}',
    ),
    (
        Error(
            "bafy…",
            ErrorCode.NOT_FOUND,
            "no connected peer had block bafy… within 30 s",
            "r1",
            60,
        ),
        (
            '{"status":"ERROR","cid":"bafy…","id":"r1","code":"NOT_FOUND",'
            '"message":"no connected peer had block bafy… within 30 s","retryAfterSeconds":60}'
        ),
    ),
    (
        Error("x", ErrorCode.BAD_CID, "not a CID", None, 60),
        '{"status":"ERROR","cid":"x","code":"BAD_CID","message":"not a CID"}',
    ),
    (
        NameOps((ROW,)),
        (
            '[{"txid":"1f0e…","height":500001,"blocktime":1795176000,"formattedBlocktime":"2026-11-20 12:00:00","n":0,'
            '"value":0.01,"nameId":"art/1","nameValue":"ipfs://bafy…","address":"N…","valueSwartz":1000000}]'
        ),
    ),
    (
        Names((ROW,), 431_018, False, id="r1"),
        (
            '{"status":"NAMES","id":"r1","names":[{"txid":"1f0e…","height":500001,"blocktime":1795176000,'
            '"formattedBlocktime":"2026-11-20 12:00:00","n":0,"value":0.01,"nameId":"art/1","nameValue":"ipfs://bafy…",'
            '"address":"N…","valueSwartz":1000000}],"reachesBackTo":431018,"complete":false}'
        ),
    ),
    (Names((), None, False), '{"status":"NAMES","names":[],"reachesBackTo":null,"complete":false}'),
    (NoneFound(Days.LAST), "LAST_100_CIDS:NONE"),
    (NoneFound(Days.TODAY), "TODAY_CIDS:NONE"),
    (NoneFound(date(2024, 1, 31)), "2024-01-31_CIDS:NONE"),
    (InvalidDateFormat(), "INVALID_DATE_FORMAT"),
    (ListError("unknown filter"), "ERROR:unknown filter"),
]


@pytest.mark.parametrize(("message", "on_the_wire"), SAMPLES, ids=lambda value: type(value).__name__)
def test_every_message_is_its_sample_to_the_byte(message: Message, on_the_wire: str) -> None:
    assert message.encode() == on_the_wire.encode()


def test_the_documentation_shows_what_is_sent() -> None:
    protocol = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    missing = [on_the_wire for _, on_the_wire in SAMPLES if on_the_wire not in protocol]
    assert missing == []


def test_only_codes_that_may_succeed_later_tell_when_to_ask_again() -> None:
    again = {code for code in ErrorCode if code.again}
    assert again == {ErrorCode.NOT_FOUND, ErrorCode.TIMEOUT, ErrorCode.BUSY, ErrorCode.INTERNAL}
    for code in ErrorCode:
        assert (b"retryAfterSeconds" in Error("c", code, "m", None, 5).encode()) == code.again


def test_dates_are_utc_with_milliseconds_whatever_the_zone() -> None:
    berlin = timezone(timedelta(hours=1))
    assert date_text(datetime(2026, 11, 20, 13, 0, 0, 999_999, berlin)) == "2026-11-20T12:00:00.999Z"
    with pytest.raises(ValueError, match="time zone"):
        date_text(datetime(2026, 11, 20, 13))  # noqa: DTZ001 - a naive date is the mistake under test


def test_a_name_that_is_not_utf8_is_still_a_string() -> None:
    said = json.loads(ExpiredCid("c", NameBytes(b"\xffart\x00/\xc3\xa9"), END).encode())
    assert said["nameId"] == "\\xffart\x00/é"


@given(st.text(), st.text())
def test_whatever_was_asked_comes_back_as_it_was(cid: str, id_: str) -> None:
    """Half surrogate pairs included: a JSON request can hold them, and plain UTF-8 cannot."""
    said = json.loads(AddedCid(cid, id_).encode().decode())
    assert (said["cid"], said["id"]) == (cid, id_)


@given(st.text(st.characters(categories=["Cs"]), min_size=1, max_size=1))
def test_half_a_surrogate_pair_is_echoed_as_json_writes_it(half: str) -> None:
    assert json.loads(AddedCid(half).encode().decode())["cid"] == half


def test_foreign_links_cannot_blow_an_answer_up() -> None:
    said = AddingCid("c", replace(QUOTE, foreign=("https://" + "é" * 100_000,) * 1_000)).encode()
    assert len(said) < 64 * 1024


def test_an_answer_is_cut_by_whole_entries() -> None:
    big = replace(ROW, value=b"\xff" * 100_000)  # four characters and a backslash more on the wire for each byte
    said = NameOps((big,) * 100).encode()
    assert len(said) <= 900_000
    assert len(json.loads(said)) == 1 + (900_000 - len(NameOps((big,)).encode())) // (len(NameOps((big,)).encode()) - 1)


def test_a_full_page_of_the_longest_names_and_values_fits() -> None:
    longest = replace(ROW, name=NameBytes(b"\x01" * 255), value=b"\x01" * 1023)
    assert len(json.loads(NameOps((longest,) * 100).encode())) == 100


CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@pytest.mark.parametrize(
    ("value", "kept", "said"),
    [
        (f"ipfs://{CID}/metadata.json", None, '{"cid":"' + CID + '","pinned":false}'),
        (
            f"ipfs://{CID}",
            KeptMedia(END, Sizes(1_152, 1_236_168, 1_237_320), 7),
            '{"cid":"' + CID + '","pinned":true,"bytes":{"metadata":1152,"image":1236168,"total":1237320},"blocks":7,'
            '"until":"2027-07-20T12:00:00.000Z"}',
        ),
        (f"ipfs://{CID}", KeptMedia(END), '{"cid":"' + CID + '","pinned":true,"until":"2027-07-20T12:00:00.000Z"}'),
        ("ipfs://undefined", None, "null"),
        ("hello", None, "null"),
    ],
)
def test_a_name_says_what_is_kept_of_its_content(value: str, kept: KeptMedia | None, said: str) -> None:
    row = replace(ROW, value=value.encode())
    answer = Names((row,), 1, True, (kept,)).encode().decode()
    name = row.to_json()[:-1] + ',"media":' + said + "}"
    assert answer == '{"status":"NAMES","names":[' + name + '],"reachesBackTo":1,"complete":true}'
    protocol = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    assert '"media":' + said.replace(CID, "bafy…") in protocol or said == "null"


def test_an_object_of_names_is_cut_by_whole_entries_too() -> None:
    big = replace(ROW, value=b"\xff" * 100_000)
    said = Names((big,) * 100, 1, True, (None,) * 100, "r" * 64).encode()
    assert len(said) <= 900_000
    assert 0 < len(json.loads(said)["names"]) < 100
    assert json.loads(said)["complete"] is True


@given(st.integers(0, 10**17))
def test_the_decimal_value_is_exactly_the_integer(swartz: int) -> None:
    from decimal import Decimal

    row = json.loads(replace(ROW, value_swartz=Swartz(swartz)).to_json(), parse_float=Decimal)
    assert Decimal(row["value"]) * 100_000_000 == swartz == row["valueSwartz"]
