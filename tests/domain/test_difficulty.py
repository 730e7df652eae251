"""Targets, bits, work and retargeting, against figures that Bitcoin Core's own tests publish (`pow_tests.cpp`)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.difficulty import BadBits, bits_of, lookback, retarget, target_of, work_of
from pinning_worker.domain.chain.networks import DOICHAIN, Retarget2016

BITCOIN = replace(DOICHAIN, pow_limit=0xFFFF << 208, difficulty=Retarget2016())


@pytest.mark.parametrize(
    ("first_time", "last_time", "bits", "expected"),
    [
        (1261130161, 1262152739, 0x1D00FFFF, 0x1D00D86A),  # the first time that Bitcoin's difficulty rose
        (1231006505, 1233061996, 0x1D00FFFF, 0x1D00FFFF),  # never easier than the limit
        (1279008237, 1279297671, 0x1C05A3F4, 0x1C0168FD),  # at most four times harder
        (1263163443, 1269211443, 0x1C387F6F, 0x1D00E1FD),  # at most four times easier
    ],
)
def test_retargets_of_bitcoins_own_chain(first_time: int, last_time: int, bits: int, expected: int) -> None:
    assert retarget(BITCOIN, 2016, bits, last_time - first_time) == expected


def test_a_retarget_looks_one_block_further_back_than_bitcoin() -> None:
    """Counted from the retarget itself, so the parent is the first of them."""
    assert lookback(BITCOIN, 501_984) == 2017
    assert lookback(BITCOIN, 501_985) == 1
    assert lookback(BITCOIN, 2016) == 2016  # before genesis there is nothing to look at


@pytest.mark.parametrize(("bits", "work"), [(0x207FFFFF, 2), (0x1D00FFFF, 0x100010001), (0x1F00FFFF, 0x10001)])
def test_work_of_known_bits(bits: int, work: int) -> None:
    assert work_of(bits) == work


@pytest.mark.parametrize("bits", [0, 0x01000000, 0x04923456, 0x1D80FFFF, 0x23000001, 0xFF123456, 0x01003456])
def test_bits_that_are_no_target(bits: int) -> None:
    with pytest.raises(BadBits):
        target_of(bits)


@given(st.integers(min_value=1, max_value=(1 << 256) - 1))
def test_the_compact_form_rounds_down_and_never_by_much(target: int) -> None:
    rounded = target_of(bits_of(target))
    assert rounded <= target < rounded + max(1, rounded >> 14)
    assert bits_of(rounded) == bits_of(target)
