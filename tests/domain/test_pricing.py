"""The fee to the swartz, months on the calendar, and sizes as JavaScript prints them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.content.sizes import Sizes, human_size
from pinning_worker.domain.money.pricing import PriceList, add_months, bytes_for, fee, months_to_sell, remaining_days
from pinning_worker.domain.money.swartz import Swartz

PRICES = PriceList(version=1, per_mib_month=Swartz(742_000), least=Swartz(1_000_000))
FREE_FLOOR = PriceList(1, Swartz(742_000), Swartz(0))
_sizes = st.integers(0, 2**50)
_months = st.integers(1, 8)


@pytest.mark.parametrize(
    ("size", "months", "before_least", "amount"),
    [
        (1_152, 8, 6_522, 1_000_000),
        (1_413_180, 1, 1_000_004, 1_000_004),
        (1_048_576, 2, 1_484_000, 1_484_000),
        (1_048_577, 2, 1_484_002, 1_484_002),
        (1_237_320, 8, 7_004_482, 7_004_482),
        (104_857_600, 8, 593_600_000, 593_600_000),
    ],
)
def test_the_worked_cases(size: int, months: int, before_least: int, amount: int) -> None:
    assert fee(FREE_FLOOR, size, months) == Swartz(before_least)
    assert fee(PRICES, size, months) == Swartz(amount)


@given(_sizes, _months)
def test_rounded_up_once(size: int, months: int) -> None:
    exact = Fraction(742_000 * size * months, 1_048_576)
    assert 0 <= fee(FREE_FLOOR, size, months).amount - exact < 1


@given(_sizes, _sizes, _months, _months)
def test_more_never_costs_less(size: int, more: int, months: int, longer: int) -> None:
    small, large = sorted((size, more))
    short, long = sorted((months, longer))
    assert PRICES.least <= fee(PRICES, small, short) <= fee(PRICES, large, long)


@pytest.mark.parametrize(("size", "months"), [(-1, 1), (1, 0), (1, -8)])
def test_nonsense_has_no_price(size: int, months: int) -> None:
    with pytest.raises(ValueError, match="cannot price"):
        fee(PRICES, size, months)


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


@given(st.integers(0, 10**12), st.integers(1, 10**9), st.integers(1, 10**9))
def test_what_an_amount_pays_for_costs_no_more_and_one_byte_more_does(amount: int, price: int, least: int) -> None:
    """Catches: one swartz that opens the door for a gigabyte."""
    prices = PriceList(1, Swartz(price), Swartz(least))
    size = bytes_for(prices, Swartz(amount))
    assert size == 0 if amount < least else fee(prices, size, 1) <= Swartz(amount) < fee(prices, size + 1, 1)
