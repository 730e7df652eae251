"""Whole swartz, and nothing else. Row 2: DOI floats were compared with swartz integers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.money.swartz import SWARTZ_PER_DOI, ZERO, Swartz

_amounts = st.integers(-(10**17), 10**17).map(Swartz)


@pytest.mark.parametrize("amount", [0.01, 1.0, "1", True, None])
def test_nothing_but_a_whole_number_is_money(amount: Any) -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        Swartz(amount)


def test_money_is_not_compared_with_a_number() -> None:
    number: Any = 700
    assert Swartz(700) != number
    with pytest.raises(TypeError):
        assert Swartz(700) >= number


@given(st.lists(_amounts))
def test_a_total_loses_nothing(amounts: list[Swartz]) -> None:
    total = ZERO
    for amount in amounts:
        total = total + amount
    assert Swartz.total(amounts) == total
    for amount in amounts:
        total = total - amount
    assert total == ZERO


@given(_amounts)
def test_it_is_printed_in_doi_to_the_last_swartz(amount: Swartz) -> None:
    number, unit = str(amount).split(" ")
    whole, parts = number.lstrip("-").split(".")
    printed = int(whole) * SWARTZ_PER_DOI + int(parts)
    assert (unit, len(parts), -printed if number.startswith("-") else printed) == ("DOI", 8, amount.amount)
