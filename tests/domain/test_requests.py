"""What others say: every message that browsers and other workers were seen to send, and those that nobody should."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinning_worker.domain.content.cid import parse_cid
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.topic.listing import BadDate, BadList, Days, Details, ListQuery, NameFilter
from pinning_worker.domain.topic.requests import Ask, BadAsk, Ignored, Kind, ListRequest, Request, parse
from tests.domain.test_messages import SAMPLES

V1 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
V0 = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR"
CBOR = "bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


def say(text: str) -> Request:
    return parse(text.encode())


def typed(**fields: object) -> Request:
    return say(json.dumps({"type": "NEW-CID", "cid": V1, **fields}))


@pytest.mark.parametrize("text", [f"NEW-CID:{V1}", f"NEW-CID: {V1} ", f"NEW-CID:\t{V1}\r\n"])
def test_the_browsers_new_cid_with_blanks_trimmed(text: str) -> None:
    assert say(text) == Ask(parse_cid(V1), V1)


def test_both_versions_ask_for_the_same_root_and_keep_their_spelling() -> None:
    old = say(f"NEW-CID:{V0}")
    assert isinstance(old, Ask)
    new = say(f"NEW-CID:{parse_cid(V0).key.hex().join(('f', ''))}")
    assert isinstance(new, Ask)
    assert old.text == V0 != new.text
    assert old.cid.key == new.cid.key


def test_the_typed_form_whole() -> None:
    origins = [f"/ip4/10.0.0.{n}/tcp/4001/p2p/12D3Koo" for n in range(20)]
    assert typed(cid=f" {V1} ", id="r" * 64, durationMonths=3, origins=origins, future={"x": 1}) == Ask(
        parse_cid(V1), V1, "r" * 64, 3, tuple(origins)
    )
    assert typed() == Ask(parse_cid(V1), V1)


def test_more_months_than_are_sold_are_no_error() -> None:
    asked = typed(durationMonths=1000)
    assert isinstance(asked, Ask)
    assert asked.months == 1000


_WRONG: list[tuple[str, list[object]]] = [
    ("durationMonths", [0, -1, 1.5, 8.0, "8", True, None, []]),
    ("id", ["x" * 65, 5, None, {}, True]),
    ("origins", ["/ip4/1.2.3.4", None, {}, [1], ["/ip4/1.2.3.4"] * 21, ["example.org"], ["/" + "x" * 600]]),
    ("cid", [None, 1, [V1], {"/": V1}]),
]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in _WRONG for value in values], ids=str)
def test_a_wrong_field_is_refused_by_name(field: str, value: object) -> None:
    refused = typed(**{field: value})
    assert isinstance(refused, BadAsk)
    assert refused.code is ErrorCode.BAD_REQUEST
    assert field in refused.message
    assert refused.text == ("" if field == "cid" else V1)


def test_a_missing_cid_is_refused_and_the_id_echoed() -> None:
    assert say('{"type":"NEW-CID","id":"r1"}') == BadAsk(
        "", "r1", ErrorCode.BAD_REQUEST, "cid is missing or not a text"
    )


@pytest.mark.parametrize(
    ("cid", "code"),
    [
        ("", ErrorCode.BAD_CID),
        ("undefined", ErrorCode.BAD_CID),
        ("[object Object]", ErrorCode.BAD_CID),
        (V1[:-1], ErrorCode.BAD_CID),
        (V0 + "x", ErrorCode.BAD_CID),
        (f"ipfs://{V1}", ErrorCode.BAD_CID),
        ("é" * 50, ErrorCode.BAD_CID),
        (CBOR, ErrorCode.UNSUPPORTED),
    ],
)
def test_what_is_no_cid_of_ours_is_refused_in_both_forms(cid: str, code: ErrorCode) -> None:
    plain, with_id = say(f"NEW-CID:{cid}"), typed(cid=cid, id="r1")
    assert isinstance(plain, BadAsk)
    assert isinstance(with_id, BadAsk)
    assert (plain.text, plain.id, plain.code) == (cid, None, code)
    assert (with_id.text, with_id.id, with_id.code) == (cid, "r1", code)


def test_a_refusal_repeats_only_so_much() -> None:
    refused = say("NEW-CID:" + "x" * 10_000)
    assert isinstance(refused, BadAsk)
    assert refused.text == "x" * 512


# ---------------------------------------------------------------- LIST


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ('{"type":"LIST","dateString":"LAST"}', ListQuery()),
        ('{"type":"LIST"}', ListQuery()),
        ('{"type":"LIST","dateString":"LAST","pageSize":10,"from":5,"height":500001}', ListQuery(offset=5)),
        ('{"type":"LIST","dateString":"TODAY","pageSize":1000}', ListQuery(Days.TODAY, limit=100)),
        ('{"type":"LIST","dateString":"2024-02-29","filter":"e"}', ListQuery(date(2024, 2, 29), NameFilter.E)),
        ('{"type":"LIST","dateString":"LAST","filter":""}', ListQuery()),
        ('{"type":"LIST","dateString":"LAST","filter":null}', ListQuery()),
        (
            '{"type":"LIST","dateString":"LAST","filter":{"type":"nfc","dateString":"2024-01-31"}}',
            ListQuery(date(2024, 1, 31), NameFilter.NFC),
        ),
        ('{"type":"LIST","dateString":"TODAY","filter":{"type":"names"}}', ListQuery(Days.TODAY, NameFilter.NAMES)),
        ('{"type":"LIST","filter":{}}', ListQuery()),
        ('{"type":"LIST","from":99999999999999999999}', ListQuery(offset=2**31 - 1)),
        ("LIST_LAST_100", ListQuery(limit=100)),
        ("LIST_ALL", ListQuery(limit=100)),
        ("LIST_TODAY", ListQuery(Days.TODAY, limit=100)),
        ("LIST_DATE:2024-01-31", ListQuery(date(2024, 1, 31), limit=100)),
    ],
)
def test_every_form_of_list(text: str, query: ListQuery) -> None:
    assert say(text) == ListRequest(query)


@pytest.mark.parametrize("wanted", NameFilter)
def test_every_filter_as_text_and_as_object(wanted: NameFilter) -> None:
    for written in (wanted.value, {"type": wanted.value}):
        assert say(json.dumps({"type": "LIST", "filter": written})) == ListRequest(ListQuery(filter=wanted))


@pytest.mark.parametrize(
    "day", ["31-01-2024", "20240131", "2024-W01-1", "2024-02-30", "2024-1-1", "last", "２０２４-01-01"]
)
def test_a_date_that_is_none(day: str) -> None:
    for request in (say(json.dumps({"type": "LIST", "dateString": day})), say(f"LIST_DATE:{day}")):
        assert isinstance(request, ListRequest)
        assert isinstance(request.asked, BadDate)


@pytest.mark.parametrize(
    "fields",
    [
        {"pageSize": 0},
        {"pageSize": -5},
        {"pageSize": "10"},
        {"pageSize": 2.5},
        {"pageSize": True},
        {"from": -1},
        {"from": None},
        {"filter": "everything"},
        {"filter": 7},
        {"filter": ["e"]},
        {"filter": {"type": {}}},
    ],
    ids=str,
)
def test_a_list_that_cannot_be_understood(fields: dict[str, object]) -> None:
    request = say(json.dumps({"type": "LIST", **fields}))
    assert isinstance(request, ListRequest)
    assert type(request.asked) is BadList


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({}, None),
        ({"details": False, "id": 5, "media": "x"}, None),
        ({"id": ["anything"], "media": 7}, None),
        ({"details": True}, Details()),
        ({"details": True, "id": "r" * 64}, Details("r" * 64)),
        ({"details": True, "media": True, "id": ""}, Details("", media=True)),
        ({"details": True, "media": False}, Details()),
    ],
    ids=str,
)
def test_a_list_with_details(fields: dict[str, object], details: Details | None) -> None:
    assert say(json.dumps({"type": "LIST", "pageSize": 5, **fields})) == ListRequest(ListQuery(limit=5), details)


@pytest.mark.parametrize(
    "fields",
    [
        {"details": "true"},
        {"details": 1},
        {"details": None},
        {"details": True, "media": 1},
        {"details": True, "media": None},
        {"details": True, "id": 5},
        {"details": True, "id": None},
        {"details": True, "id": "r" * 65},
    ],
    ids=str,
)
def test_details_that_are_wrong_are_refused(fields: dict[str, object]) -> None:
    request = say(json.dumps({"type": "LIST", **fields}))
    assert isinstance(request, ListRequest)
    assert type(request.asked) is BadList


# ---------------------------------------------------------------- everything else

_OURS = {
    "FetchingCid": Kind.FETCHING,
    "AddingCid": Kind.ADDING,
    "PaymentSeen": Kind.SEEN,
    "PaymentShort": Kind.SHORT,
    "PaymentGone": Kind.GONE,
    "AddedCid": Kind.ADDED,
    "CidPinnedWithName": Kind.PINNED,
    "ExpiringCid": Kind.EXPIRING,
    "ExpiredCid": Kind.EXPIRED,
    "Error": Kind.ERROR,
    "NameOps": Kind.NAME_OPS,
    "Names": Kind.NAMES,
    "NoneFound": Kind.NONE_FOUND,
    "InvalidDateFormat": Kind.INVALID_DATE,
    "ListError": Kind.LIST_ERROR,
}


def test_no_answer_of_a_worker_is_a_request() -> None:
    """Else two workers on one topic would answer each other for ever."""
    heard = [(parse(message.encode()), _OURS[type(message).__name__]) for message, _ in SAMPLES]
    assert heard == [(Ignored(kind), kind) for _, kind in heard]
    assert {kind for _, kind in heard} == set(_OURS.values())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Kind.NOT_JSON),
        (b"hello", Kind.NOT_JSON),
        (b"new-cid:x", Kind.NOT_JSON),
        (b" NEW-CID:x", Kind.NOT_JSON),
        (b"{", Kind.NOT_JSON),
        (b'{"type":"NEW-CID","cid":NaN}', Kind.NOT_JSON),
        (b'{"n":' + b"9" * 5_000 + b"}", Kind.NOT_JSON),
        (b'{"a":' * 2_000, Kind.NOT_JSON),
        (b"\xff\xfe", Kind.NOT_UTF8),
        (b"NEW-CID:\xff", Kind.NOT_UTF8),
        (b"NEW-CID:" + b" " * 16_384, Kind.TOO_LARGE),
        (b"x" * 10_000_000, Kind.TOO_LARGE),
        (b"[" * 10_000_000, Kind.NAME_OPS),
        (b"7", Kind.OTHER_JSON),
        (b'"NEW-CID:x"', Kind.OTHER_JSON),
        (b"{}", Kind.OTHER_OBJECT),
        (b'{"type":["NEW-CID"]}', Kind.OTHER_OBJECT),
        (b'{"type":"new-cid"}', Kind.OTHER_OBJECT),
        (b'{"status":"SOMETHING-NEW"}', Kind.OTHER_OBJECT),
        (b'{"status":["ADDED-CID"]}', Kind.OTHER_OBJECT),
        (b'{"status":"NAME-OPS"}', Kind.OTHER_OBJECT),
    ],
    ids=lambda value: str(value[:30]) if isinstance(value, bytes) else None,
)
def test_everything_else_is_counted_by_kind(data: bytes, kind: Kind) -> None:
    assert parse(data) == Ignored(kind)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(V1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_fields = st.sampled_from(
    ["cid", "id", "durationMonths", "origins", "dateString", "pageSize", "from", "filter", "status"]
)


@given(
    st.binary()
    | st.text().map(lambda text: ("NEW-CID:" + text).encode("utf-8", "surrogatepass"))
    | st.text().map(lambda text: ("LIST_DATE:" + text).encode("utf-8", "surrogatepass"))
    | st.builds(
        lambda kind, body: json.dumps({**body, "type": kind}).encode(),
        st.sampled_from(["NEW-CID", "LIST"]),
        st.dictionaries(_fields, _json),
    )
)
@example(b'{"type":"NEW-CID","cid":"\\ud800","id":"\\udfff"}')
def test_no_bytes_make_it_raise(data: bytes) -> None:
    assert isinstance(parse(data), Ask | BadAsk | ListRequest | Ignored)
