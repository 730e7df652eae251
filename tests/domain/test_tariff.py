"""Tariffs: the fee to the swartz, the log that only grows, and what of it is honoured when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import (
    MIB,
    Tariff,
    bytes_for,
    fee,
    follows,
    honoured_at,
    least_at,
    may_strike,
    quoted_at,
    rate_at,
)

T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HASH_OF_THE_FIRST = "9ef36a0f95b1ac884f0bf2bc582665967b7241c065f6166a2cfa1e399aac880f"  # payers compare it


def tariff(number: int, since: datetime, price: int, least: int) -> Tariff:
    return Tariff(number, since, Swartz(price), Swartz(least))


PRICES = tariff(1, T0, 742_000, 1_000_000)
FREE_FLOOR = tariff(1, T0, 742_000, 1)
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
    assert fee(FREE_FLOOR, size, months).amount == max(1, ceil(exact))


@given(_sizes, _sizes, _months, _months)
def test_more_never_costs_less(size: int, more: int, months: int, longer: int) -> None:
    small, large = sorted((size, more))
    short, long = sorted((months, longer))
    assert PRICES.least <= fee(PRICES, small, short) <= fee(PRICES, large, long)


@pytest.mark.parametrize(("size", "months"), [(-1, 1), (1, 0), (1, -8)])
def test_nonsense_has_no_price(size: int, months: int) -> None:
    with pytest.raises(ValueError, match="cannot price"):
        fee(PRICES, size, months)


@given(st.integers(0, 10**12), st.integers(1, 10**9), st.integers(1, 10**9))
def test_what_an_amount_pays_for_costs_no_more_and_one_byte_more_does(amount: int, price: int, least: int) -> None:
    """Catches: one swartz that opens the door for a gigabyte."""
    prices = tariff(1, T0, price, least)
    size = bytes_for(Swartz(amount), T0, [prices])
    assert size == 0 if amount < least else fee(prices, size, 1) <= Swartz(amount) < fee(prices, size + 1, 1)


# ---------------------------------------------------------------- the log


def test_a_struck_tariff_was_never_there() -> None:
    cheap_by_mistake = replace(tariff(2, T0 + DAY, 1, 1), struck=True)
    log = [tariff(1, T0, 10, 8), cheap_by_mistake, tariff(3, T0 + 2 * DAY, 20, 8)]
    rates = [rate_at(T0 + days * DAY, log, {1: MIB}) for days in (1, 20, 33)]
    assert [rate.exact // MIB for rate in rates if rate] == [10, 10, 20]
    assert quoted_at(T0 + 36 * HOUR, log).number == 1


@pytest.mark.parametrize(
    "broken", [{"number": 0}, {"least": Swartz(0)}, {"per_mib_month": Swartz(-1)}, {"since": T0.replace(microsecond=1)}]
)
def test_no_tariff_gives_months_for_nothing(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a tariff"):
        replace(tariff(1, T0, 10, 8), **broken)


def test_two_tariffs_with_one_hash_are_the_same() -> None:
    one = tariff(1, T0, 10, 8)
    others = [tariff(2, T0, 10, 8), tariff(1, T0 + HOUR, 10, 8), tariff(1, T0, 11, 8), tariff(1, T0, 10, 9)]
    assert len({each.hash for each in [one, *others]}) == 5
    assert one.hash == replace(one, struck=True).hash == HASH_OF_THE_FIRST


def test_the_lowest_price_and_the_lowest_least_fee_may_be_of_different_tariffs() -> None:
    log = [tariff(1, T0, 10, 90), tariff(2, T0 + DAY, 20, 8)]
    rate = rate_at(T0 + 2 * DAY, log, {1: MIB})
    assert rate is not None
    assert (rate.exact // MIB, rate.least) == (10, Swartz(8))
    assert least_at(T0 + 2 * DAY, log) == Swartz(8)


def test_a_notice_is_honoured_to_its_last_second() -> None:
    log = [tariff(1, T0, 10, 8), tariff(2, T0 + DAY, 20, 8)]
    last = T0 + 32 * DAY
    assert [each.number for each in honoured_at(last - timedelta(seconds=1), log)] == [1, 2]
    assert [each.number for each in honoured_at(last, log)] == [2]


def test_nothing_is_backdated_and_no_number_is_left_out() -> None:
    log = [tariff(1, T0, 10, 8)]
    assert follows(tariff(2, T0, 10, 8), log)
    assert not follows(tariff(2, T0 - timedelta(seconds=1), 10, 8), log)
    assert not follows(tariff(3, T0 + DAY, 10, 8), log)
    assert not follows(tariff(1, T0 + DAY, 10, 8), log)


def test_only_the_last_tariff_may_be_struck_and_never_the_first() -> None:
    log = [tariff(1, T0, 10, 8), tariff(2, T0 + DAY, 10, 8), tariff(3, T0 + DAY, 10, 8)]
    assert [may_strike(number, log) for number in (0, 1, 2, 3, 4)] == [False, False, False, True, False]
    assert not may_strike(1, log[:1])
    assert not may_strike(3, [*log[:2], replace(log[2], struck=True)])


def test_without_a_tariff_nothing_is_quoted() -> None:
    with pytest.raises(ValueError, match="no tariff"):
        quoted_at(T0, [])
