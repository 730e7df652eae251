"""LIST: the question for a page of NameOps.

A page of NameOps, newest first: (height, position in the block) descending. The deployed browser sends LIST at each
connect, up to five times, then on scroll with `from` growing. The predecessor answered twice, skipped the newest ten,
ignored the date and read the whole table for each request; here the query is a value, and the index selects, filters
and pages. `name_row.py` has the rows and the filters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

DEFAULT_PAGE, LARGEST_PAGE = 10, 100
LONGEST_ID = 64
_FURTHEST = 2**31 - 1  # an offset beyond it gives an empty page, and is cut to fit any database's integer
_SECONDS_OF_A_DAY = 86_400
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PLAIN_DATE = "LIST_DATE:"


class BadList(ValueError):
    """A malformed LIST; the text goes back as `ERROR:<text>`."""


class BadDate(BadList):
    """The date is malformed; the answer is INVALID_DATE_FORMAT."""


class Days(StrEnum):
    """The two dates that have a name."""

    LAST = "LAST"
    TODAY = "TODAY"


class NameFilter(StrEnum):
    """The filters; `name_row.NameRow.matches` defines each."""

    ALL = "all"
    E = "e"
    PE = "pe"
    BP = "bp"
    NAMES = "names"
    NFC = "nfc"
    COLLECTIONS = "collections"


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One page of NameOps: of any day (LAST), of today, or of a date, all in UTC."""

    day: Days | date = Days.LAST
    filter: NameFilter = NameFilter.ALL
    offset: int = 0
    limit: int = DEFAULT_PAGE

    def block_times(self, now: datetime) -> range | None:
        """The block times to select, in seconds since 1970; None is any."""
        if self.day is Days.LAST:
            return None
        day = now.astimezone(UTC).date() if isinstance(self.day, Days) else self.day
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        return range(start, start + _SECONDS_OF_A_DAY)


@dataclass(frozen=True, slots=True)
class Details:
    """The asker wants an object instead of an array: with the index's reach, with `id`, and for each name with what is
    kept of its content if `media`."""

    id: str | None = None
    media: bool = False


def parse_details(body: Mapping[str, object]) -> Details | None:
    """None without `"details":true`; then `id` and `media` mean nothing, whatever they are. Raises BadList."""
    if not _flag(body, "details"):
        return None
    id_ = body.get("id")
    if "id" in body and not (isinstance(id_, str) and len(id_) <= LONGEST_ID):
        raise BadList(f"id is a text of at most {LONGEST_ID} characters")
    return Details(id_ if isinstance(id_, str) else None, _flag(body, "media"))


def parse_list(body: Mapping[str, object]) -> ListQuery:
    """The typed form, an object with `"type":"LIST"`. Raises BadDate, BadList.

    `height` (the client's tip), `id`, `details` and `media` select nothing. A page of more than 100 is cut to 100.
    """
    chosen, day = body.get("filter"), body.get("dateString")
    if isinstance(chosen, Mapping):
        day = chosen.get("dateString") or day
        chosen = chosen.get("type")
    return ListQuery(
        day=_day(day),
        filter=_filter(chosen),
        offset=min(_whole(body, "from", default=0, least=0), _FURTHEST),
        limit=min(_whole(body, "pageSize", default=DEFAULT_PAGE, least=1), LARGEST_PAGE),
    )


def parse_plain_list(text: str) -> ListQuery | None:
    """One of the four forms of older clients, or None. They name no page, and get the largest. Raises BadDate."""
    if text in ("LIST_LAST_100", "LIST_ALL"):
        return ListQuery(limit=LARGEST_PAGE)
    if text == "LIST_TODAY":
        return ListQuery(day=Days.TODAY, limit=LARGEST_PAGE)
    if text.startswith(_PLAIN_DATE):
        return ListQuery(day=_date(text.removeprefix(_PLAIN_DATE)), limit=LARGEST_PAGE)
    return None


def _day(asked: object) -> Days | date:
    if asked is None or asked == "":
        return Days.LAST
    if not isinstance(asked, str):
        raise BadDate("dateString is a text")
    return Days(asked) if asked in (Days.LAST, Days.TODAY) else _date(asked)


def _date(text: str) -> date:
    """`YYYY-MM-DD` only: `fromisoformat` alone would take 20240131 and 2024-W01-1 as well."""
    if not _DATE.fullmatch(text):
        raise BadDate("a date is written YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadDate("there is no such day") from error


def _filter(asked: object) -> NameFilter:
    if asked is None or asked == "":
        return NameFilter.ALL
    if not isinstance(asked, str) or asked not in set(NameFilter):
        raise BadList("unknown filter")
    return NameFilter(asked)


def _whole(body: Mapping[str, object], field: str, *, default: int, least: int) -> int:
    value = body.get(field, default)
    if type(value) is not int or value < least:
        raise BadList(f"{field} is a whole number of at least {least}")
    return value


def _flag(body: Mapping[str, object], field: str) -> bool:
    value = body.get(field, False)
    if not isinstance(value, bool):
        raise BadList(f"{field} is true or false")
    return value
