"""How our values are stored in columns, on SQLite and PostgreSQL alike; each is read back exactly as it was written.

Times are whole microseconds since 1970 in UTC, money is whole swartz, both in 64 bits. Text of strangers may hold
characters that databases refuse (NUL, halves of surrogate pairs): those are escaped, and so is the backslash itself.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

from pinning_worker.domain.money.swartz import Swartz

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ODD = re.compile("[\\\\\x00\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u([0-9a-f]{4})")


class Moment(TypeDecorator[datetime]):
    """An aware datetime, read back in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} does not say its time zone")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + value * _MICROSECOND


class Money(TypeDecorator[Swartz]):
    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Swartz | None, dialect: Dialect) -> int | None:
        return None if value is None else value.amount

    def process_result_value(self, value: int | None, dialect: Dialect) -> Swartz | None:
        return None if value is None else Swartz(value)


class AnyText(TypeDecorator[str]):
    """Any Python string at all. Ordinary text is stored unchanged."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)
