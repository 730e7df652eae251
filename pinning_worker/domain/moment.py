"""Moments as text, on the wire and in signed content: one spelling for each, so that signatures agree."""

from __future__ import annotations

from datetime import UTC, datetime


def date_text(moment: datetime) -> str:
    """`2026-11-20T12:00:00.000Z`. Raises ValueError without a time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"a date without a time zone: {moment}")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def read_date(text: str) -> datetime:
    """The moment of a text that `date_text` wrote. Raises ValueError on any other spelling."""
    moment = datetime.fromisoformat(text)
    if date_text(moment) != text:
        raise ValueError(f"not a date as we write it: {text}")
    return moment
