"""Months on the calendar, and sizes as JavaScript prints them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.content.sizes import Sizes, human_size
from pinning_worker.domain.money.pricing import add_months, months_to_sell, remaining_days


def test_months_are_capped_and_never_none() -> None:
    assert [months_to_sell(asked) for asked in (None, 1, 7, 8, 9, 10**30)] == [8, 1, 7, 8, 8, 8]
    assert months_to_sell(None, most=3) == 3
    with pytest.raises(ValueError, match="cannot sell"):
        months_to_sell(0)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-11-20T12:00:00+00:00", 8, "2027-07-20T12:00:00+00:00"),
        ("2027-01-31T23:59:59+00:00", 1, "2027-02-28T23:59:59+00:00"),
        ("2028-01-31T00:00:00+00:00", 1, "2028-02-29T00:00:00+00:00"),
        ("2026-12-31T00:00:00+00:00", 2, "2027-02-28T00:00:00+00:00"),
        ("2026-12-01T00:00:00+00:00", 12, "2027-12-01T00:00:00+00:00"),
        ("2027-03-01T00:30:00+01:00", 1, "2027-03-28T23:30:00+00:00"),  # in UTC it is still February
    ],
)
def test_calendar_months_in_utc(start: str, months: int, end: str) -> None:
    assert add_months(datetime.fromisoformat(start), months).isoformat() == end


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), st.integers(1, 100))  # noqa: DTZ001 - the zone is the strategy's
def test_longer_ends_later(start: datetime, months: int) -> None:
    assert start < add_months(start, months) < add_months(start, months + 1)


def test_remaining_days_are_whole_and_never_negative() -> None:
    end = datetime(2027, 7, 20, 12, tzinfo=UTC)
    assert remaining_days(end, end - timedelta(days=2)) == 2
    assert remaining_days(end, end - timedelta(days=2) + timedelta(microseconds=1)) == 1
    assert remaining_days(end, end.astimezone(timezone(timedelta(hours=9))) - timedelta(hours=23)) == 0
    assert remaining_days(end, end + timedelta(days=2)) == 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 Bytes"),
        (1, "1 Bytes"),
        (1_023, "1023 Bytes"),
        (1_024, "1 KB"),
        (1_152, "1.13 KB"),  # 1.125: half up, where half to even says 1.12
        (1_536, "1.5 KB"),
        (1_236_168, "1.18 MB"),
        (1_048_575, "1024 KB"),  # the unit is chosen before rounding
        (1_048_576, "1 MB"),
        (100 * 2**30, "100 GB"),
        (2**40, "1 TB"),
        (2**50, "1024 TB"),
    ],
)
def test_sizes_read_as_javascript_writes_them(size: int, text: str) -> None:
    assert human_size(size) == text


def test_parts_must_be_the_whole() -> None:
    with pytest.raises(ValueError, match="are not"):
        Sizes(metadata=1, image=2, total=4)
