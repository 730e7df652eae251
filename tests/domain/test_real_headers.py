"""Mainnet as it is: recorded headers of the relaunched chain are taken, and refused with any byte changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.anchor import anchor_heights, built_in_chain
from pinning_worker.domain.chain.auxpow import read_auxpow
from pinning_worker.domain.chain.difficulty import bits_of, expected_bits
from pinning_worker.domain.chain.headerchain import HeaderChain
from pinning_worker.domain.chain.headers import HEADER_SIZE, BadHeader, parse_header, read_proven_header
from pinning_worker.domain.chain.networks import DOICHAIN, DOICHAIN_TEST, DigiShield
from tests.mining import LATER
from tests.recorded import CONTEXT, CONTEXT_FROM, FULL, TIME_AND_BITS, TIP

ANCHOR = 431_423
AFTER = ANCHOR + 1


def mainnet() -> HeaderChain:
    chain = built_in_chain(DOICHAIN)
    assert chain is not None
    return chain


# --- proofs


@pytest.mark.parametrize("height", FULL)
def test_every_recorded_header_has_its_work(height: int) -> None:
    """Catches: a proof refused that every node took (another coinbase index, a long coinbase, a tree of chains)."""
    header, end = read_proven_header(FULL[height], 0, DOICHAIN)
    assert end == len(FULL[height])
    assert header.is_merge_mined
    assert header.chain_id == DOICHAIN.auxpow_chain_id


def test_the_split_block_is_the_recorded_one() -> None:
    assert DOICHAIN.split_block is not None
    living = parse_header(FULL[DOICHAIN.split_block.height][:HEADER_SIZE])
    assert living.hash[::-1].hex() == DOICHAIN.split_block.block_hash
    assert living.previous == parse_header(FULL[431_017][:HEADER_SIZE]).hash
    assert parse_header(FULL[431_017][:HEADER_SIZE]).previous == parse_header(FULL[431_016][:HEADER_SIZE]).hash


def test_the_row_has_the_anchor_and_what_the_next_header_looks_back_to() -> None:
    chain = mainnet()
    assert anchor_heights(DOICHAIN) == range(CONTEXT_FROM, AFTER)
    assert chain.raw_from(CONTEXT_FROM) == b"".join(CONTEXT)
    assert (chain.tip_height, chain.floor) == (ANCHOR, ANCHOR)


def test_431_424_joins_the_anchor() -> None:
    chain = mainnet()
    before = chain.work
    branch = chain.branch(ANCHOR)
    branch.extend(FULL[AFTER], now=LATER)
    assert chain.adopt(branch) == AFTER
    assert chain.tip().hash == parse_header(FULL[AFTER][:HEADER_SIZE]).hash[::-1].hex()
    assert chain.work > before


def test_a_header_that_skips_some_is_refused() -> None:
    with pytest.raises(BadHeader, match="does not follow"):
        mainnet().branch(ANCHOR).extend(FULL[TIP], now=LATER)


# --- tampered


def unread(data: bytes) -> range:
    """The bytes of an AuxPow that no node looks at: the parent's hash, and beyond its merkle branch the index of 4."""
    auxpow, _ = read_auxpow(data, HEADER_SIZE)
    coinbase_end = auxpow.coinbase.end
    return range(coinbase_end, coinbase_end + 32)


def unread_index(data: bytes) -> range:
    auxpow, _ = read_auxpow(data, HEADER_SIZE)
    branch_end = unread(data).stop + 1 + 32 * len(auxpow.to_parent.siblings)
    return range(branch_end, branch_end + 4)


@pytest.mark.parametrize("height", FULL)
@given(st.data())
def test_any_byte_changed_is_refused(height: int, data: st.DataObject) -> None:
    whole = FULL[height]
    at = data.draw(st.integers(0, len(whole) - 1).filter(lambda at: at not in (*unread(whole), *unread_index(whole))))
    mask = data.draw(st.integers(1, 255))
    with pytest.raises(BadHeader):
        read_proven_header(changed(whole, at, mask), 0, DOICHAIN)


def test_every_single_byte_of_431_424_counts_but_36() -> None:
    """The 32 of hashBlock, and the 4 of the coinbase's index: a block with another index is valid for all nodes."""
    whole = FULL[AFTER]
    taken = [at for at in range(len(whole)) if is_taken(changed(whole, at, 0xFF))]
    assert taken == [*unread(whole), *unread_index(whole)]


def changed(whole: bytes, at: int, mask: int) -> bytes:
    spoilt = bytearray(whole)
    spoilt[at] ^= mask
    return bytes(spoilt)


def is_taken(whole: bytes) -> bool:
    try:
        mainnet().branch(ANCHOR).extend(whole, now=LATER)
    except BadHeader:
        return False
    return True


def test_the_index_of_the_coinbase_may_be_anything() -> None:
    """The block that stopped the worker for good: index 1, valid for every node."""
    whole = bytearray(FULL[AFTER])
    at = unread_index(bytes(whole)).start
    whole[at] = 1
    chain = mainnet()
    branch = chain.branch(ANCHOR)
    branch.extend(bytes(whole), now=LATER)
    assert chain.adopt(branch) == AFTER


# --- difficulty


def recorded(height: int) -> tuple[int, int]:
    return TIME_AND_BITS[height]


@pytest.mark.parametrize("height", [*range(431_017, 431_046), 431_422, 431_423, 431_424])
def test_the_rule_gives_the_bits_that_the_chain_has(height: int) -> None:
    time, bits = recorded(height)
    assert expected_bits(DOICHAIN, height, time, recorded) == bits


def slow_bits(rule: DigiShield, limit: int, height: int, past: Callable[[int], tuple[int, int]], time: int) -> int:
    """DigiShield again, written down from the facts page step by step, with fractions instead of shifts and floors."""
    times = {h: past(h)[0] for h in range(height - 28, height)}
    if rule.reset_bits is not None and height - rule.fork_height < 28:
        target = expand(rule.reset_bits)
    else:
        total = 0
        for h in range(height - 17, height):
            total += expand(past(h)[1])
        newer = sorted(times[h] for h in range(height - 11, height))[5]
        older = sorted(times[h] for h in range(height - 28, height - 17))[5]
        difference = (newer - older) - 10_200
        quarter = abs(difference) // 4
        actual = 10_200 + (quarter if difference > 0 else -quarter)
        actual = 8_568 if actual < 8_568 else 13_464 if actual > 13_464 else actual
        target = expand(shorten(min(limit, total // 17 // 10_200 * actual)))
    if time - times[height - 1] > rule.gap_seconds:
        target = target * rule.factor
    return shorten(min(limit, target))


def expand(bits: int) -> int:
    mantissa, size = bits % (1 << 24), bits >> 24
    return (mantissa << 8 * size) >> 24


def shorten(target: int) -> int:
    digits = target.to_bytes(33, "big").lstrip(b"\0")
    if digits[0] >= 0x80:
        digits = b"\0" + digits
    return len(digits) << 24 | int.from_bytes(digits[:3].ljust(3, b"\0"), "big")


BITS = st.integers(1 << 30, DOICHAIN.pow_limit).map(bits_of)
GAPS = st.one_of(st.integers(-7200, 7200), st.sampled_from([0, 600, 3600, 3601, 86_400]))


@given(
    height=st.sampled_from([431_017, 431_044, 431_045, 431_424, 500_000]),
    bits=st.lists(BITS, min_size=28, max_size=28),
    gaps=st.lists(GAPS, min_size=29, max_size=29),
    rule=st.sampled_from([DOICHAIN, DOICHAIN_TEST]),
)
def test_the_rule_is_the_slow_one(height: int, bits: list[int], gaps: list[int], rule: object) -> None:
    network = DOICHAIN if rule is DOICHAIN else DOICHAIN_TEST
    assert isinstance(network.difficulty, DigiShield)
    times = [1_790_000_000 + sum(gaps[: at + 1]) for at in range(29)]

    def past(below: int) -> tuple[int, int]:
        at = below - (height - 28)
        return times[at], bits[at]

    slow = slow_bits(network.difficulty, network.pow_limit, height, past, times[28])
    assert expected_bits(network, height, times[28], past) == slow


@pytest.mark.parametrize("height", [431_017, 431_045, 431_424])
def test_the_recorded_bits_by_the_slow_rule(height: int) -> None:
    """So that the two cannot be wrong in the same way."""
    assert isinstance(DOICHAIN.difficulty, DigiShield)
    time, bits = recorded(height)
    assert slow_bits(DOICHAIN.difficulty, DOICHAIN.pow_limit, height, recorded, time) == bits
