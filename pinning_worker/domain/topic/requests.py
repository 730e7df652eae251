"""Messages of others on the content topic: the requests among them, and their fields.

Only two messages are requests: NEW-CID and LIST, each plain or typed (JSON). All others, mostly answers of other
workers, are `Ignored` with one of a bounded set of kinds, to be counted and never answered: two workers with different
prices on one topic both quote, and stay silent to each other. A request with a wrong field is a `BadAsk`; its answer is
an ERROR.

`parse` takes any bytes and never raises. It checks sizes before it decodes; it recognises arrays (other workers' LIST
answers, up to 900 000 bytes) by their first byte and does not read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from pinning_worker.domain.content.cid import BadCid, Cid, UnsupportedCid, parse_cid
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.topic.listing import (
    LONGEST_ID,
    BadList,
    Details,
    ListQuery,
    parse_details,
    parse_list,
    parse_plain_list,
)

LARGEST_REQUEST = 16 * 1024
MOST_ORIGINS = 20
_LONGEST_ORIGIN = 512
_LONGEST_ECHO = 512  # of a malformed CID; every real one is shorter
_PLAIN_ASK = "NEW-CID:"


class Kind(StrEnum):
    """The kinds of ignored messages: labels of a counter, therefore few and fixed."""

    FETCHING = "fetching-cid"
    ADDING = "adding-cid"
    SEEN = "payment-seen"
    SHORT = "payment-short"
    GONE = "payment-gone"
    ADDED = "added-cid"
    PINNED = "cid-pinned-with-name"
    EXPIRING = "expiring-cid"
    EXPIRED = "expired-cid"
    ERROR = "error"
    NAME_OPS = "name-ops"
    NAMES = "names"
    NONE_FOUND = "none-found"
    INVALID_DATE = "invalid-date"
    LIST_ERROR = "list-error"
    OTHER_OBJECT = "other-object"
    OTHER_JSON = "other-json"
    NOT_JSON = "not-json"
    NOT_UTF8 = "not-utf8"
    TOO_LARGE = "too-large"


_BY_STATUS = {
    kind.value.upper(): kind
    for kind in Kind
    if kind.value.endswith("-cid") or kind in (Kind.SEEN, Kind.SHORT, Kind.GONE, Kind.PINNED, Kind.NAMES, Kind.ERROR)
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to quote and pin. `text`: the CID as written, trimmed; answers repeat it. `origins`: dial hints."""

    cid: Cid
    text: str
    id: str | None = None
    months: int | None = None
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for a page of NameOps; or a malformed one, with the error to answer."""

    asked: ListQuery | BadList
    details: Details | None = None  # None: the answer is an array, as it always was


@dataclass(frozen=True, slots=True)
class BadAsk:
    """A NEW-CID that can only be refused. `text`: its CID as far as it had one, else empty. `retry_after`: seconds."""

    text: str
    id: str | None
    code: ErrorCode
    message: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Not a request."""

    kind: Kind


Request = Ask | ListRequest | BadAsk | Ignored


def parse(data: bytes) -> Request:
    """Parses one message's payload. Never raises."""
    if data[:1] == b"[":
        return Ignored(Kind.NAME_OPS)
    if len(data) > LARGEST_REQUEST:
        return Ignored(Kind.TOO_LARGE)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Ignored(Kind.NOT_UTF8)
    if text.startswith(_PLAIN_ASK):
        return _ask(text.removeprefix(_PLAIN_ASK).strip(), None, None, ())
    try:
        query = parse_plain_list(text.strip())
    except BadList as bad:
        return ListRequest(bad)
    return ListRequest(query) if query else _json(text)


def _json(text: str) -> Request:
    try:
        body = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):  # ValueError: also a number of thousands of digits; the other: deep nesting
        return Ignored(_plain_kind(text))
    if not isinstance(body, dict):
        return Ignored(Kind.OTHER_JSON)
    match body.get("type"):
        case "NEW-CID":
            return _typed_ask(body)
        case "LIST":
            return _typed_list(body)
        case _:
            status = body.get("status")
            return Ignored(_BY_STATUS.get(status, Kind.OTHER_OBJECT) if isinstance(status, str) else Kind.OTHER_OBJECT)


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _plain_kind(text: str) -> Kind:
    if text.endswith("_CIDS:NONE"):
        return Kind.NONE_FOUND
    if text.startswith("ERROR:"):
        return Kind.LIST_ERROR
    return Kind.INVALID_DATE if text == "INVALID_DATE_FORMAT" else Kind.NOT_JSON


def _typed_list(body: Mapping[str, object]) -> ListRequest:
    try:
        return ListRequest(parse_list(body), parse_details(body))
    except BadList as bad:
        return ListRequest(bad)


def _typed_ask(body: Mapping[str, object]) -> Ask | BadAsk:
    text, id_ = body.get("cid"), body.get("id")
    echo = text.strip() if isinstance(text, str) else ""
    if "id" in body and not (isinstance(id_, str) and len(id_) <= LONGEST_ID):
        return _bad(echo, None, ErrorCode.BAD_REQUEST, f"id is a text of at most {LONGEST_ID} characters")
    id_ = id_ if isinstance(id_, str) else None
    if not isinstance(text, str):
        return _bad("", id_, ErrorCode.BAD_REQUEST, "cid is missing or not a text")
    months, origins = body.get("durationMonths"), _origins(body.get("origins", []))
    if "durationMonths" in body and (type(months) is not int or months < 1):
        return _bad(echo, id_, ErrorCode.BAD_REQUEST, "durationMonths is a whole number of at least 1")
    if origins is None:
        return _bad(echo, id_, ErrorCode.BAD_REQUEST, f"origins are at most {MOST_ORIGINS} multiaddrs")
    return _ask(echo, id_, months if isinstance(months, int) else None, origins)


def _origins(asked: object) -> tuple[str, ...] | None:
    """The texts that may be multiaddrs; None for anything but a list of them. The dialler parses them."""
    if not isinstance(asked, list) or len(asked) > MOST_ORIGINS:
        return None
    if any(not isinstance(origin, str) or origin[:1] != "/" or len(origin) > _LONGEST_ORIGIN for origin in asked):
        return None
    return tuple(asked)


def _ask(text: str, id_: str | None, months: int | None, origins: tuple[str, ...]) -> Ask | BadAsk:
    try:
        return Ask(parse_cid(text).require_supported(), text, id_, months, origins)
    except BadCid as error:
        return _bad(text, id_, ErrorCode.BAD_CID, str(error))
    except UnsupportedCid as error:
        return _bad(text, id_, ErrorCode.UNSUPPORTED, str(error))


def _bad(text: str, id_: str | None, code: ErrorCode, message: str) -> BadAsk:
    return BadAsk(text[:_LONGEST_ECHO], id_, code, message)
