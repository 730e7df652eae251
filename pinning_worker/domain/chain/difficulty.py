"""Difficulty: the compact form of a target, the work that it stands for, and the bits that a header must have.

After doichain-core `arith_uint256.cpp` and `pow.cpp`. A header's hash, read as a little-endian number, must not exceed
its target; the work of a target is 2^256 / (target + 1), the expected number of hashes.

The rule of a network is data in its row (`networks.py`):

    NoRetarget     the bits of the header before
    Retarget2016   every interval the target follows the interval's duration, bounded by a quarter and four times the
                   planned duration; since merge mining began, the rule looks back one block more than Bitcoin's
    DigiShield     every block: the mean target of the 17 before it, times their duration over the planned duration.
                   The duration is measured between medians of 11, and damped: a quarter of the difference counts, 16 %
                   faster and 32 % slower at most. A late block may be easier by a factor
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median_high
from typing import assert_never

from pinning_worker.domain.chain.networks import DigiShield, Network, NoRetarget, Retarget2016

MEDIAN_SPAN = 11
AVERAGED = 17  # blocks in the mean target
DIGISHIELD_LOOKBACK = AVERAGED + MEDIAN_SPAN
_DAMPING = 4
_LEAST_PERCENT, _MOST_PERCENT = 84, 132  # of the planned duration of 17 blocks

Past = Callable[[int], tuple[int, int]]
"""(time, bits) of the header at a height: seconds since 1970, compact form."""


class BadBits(ValueError):
    """Bits that stand for no target."""


def target_of(bits: int) -> int:
    """The target that `bits` stand for (SetCompact). Raises BadBits if it is zero, negative or over 256 bits."""
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    target = mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)
    if bits & 0x800000 or target == 0 or target >> 256:
        raise BadBits(f"bits {bits:08x} are no target")
    return target


def bits_of(target: int) -> int:
    """The compact form (GetCompact); it keeps the upper 15 to 23 bits of the target."""
    size = (target.bit_length() + 7) // 8
    mantissa = target >> 8 * (size - 3) if size > 3 else target << 8 * (3 - size)
    if mantissa & 0x800000:
        mantissa, size = mantissa >> 8, size + 1
    return size << 24 | mantissa


def work_of(bits: int) -> int:
    """Expected hashes for one header of these bits. Raises BadBits."""
    return (1 << 256) // (target_of(bits) + 1)


def expected_bits(network: Network, height: int, time: int, past: Past) -> int:
    """The bits that the header at `height` must have, if its time is `time`.

    It reads `past` for at most `lookback` headers below `height`. DigiShield does not define heights below its fork.
    """
    match network.difficulty:
        case NoRetarget():
            return past(height - 1)[1]
        case Retarget2016() as rule:
            return _retargeted(network, rule, height, past)
        case DigiShield() as rule:
            return _digishield(network, rule, height, time, past)
        case rule:
            assert_never(rule)


def lookback(network: Network, height: int) -> int:
    """The number of headers below `height` that its bits depend on, counted down from its parent."""
    match network.difficulty:
        case NoRetarget():
            return 1
        case Retarget2016(interval):
            return 1 + _blocks_back(network, interval, height) if height % interval == 0 else 1
        case DigiShield():
            return DIGISHIELD_LOOKBACK
        case rule:
            assert_never(rule)


def _retargeted(network: Network, rule: Retarget2016, height: int, past: Past) -> int:
    last_time, last_bits = past(height - 1)
    if height % rule.interval != 0:
        return last_bits
    first_time, _ = past(height - 1 - _blocks_back(network, rule.interval, height))
    return retarget(network, rule.interval, last_bits, last_time - first_time)


def _blocks_back(network: Network, interval: int, height: int) -> int:
    """The number of blocks that a retarget at `height` looks back before its predecessor."""
    whole = height - 1 >= network.auxpow_from_height and height > interval
    return interval if whole else interval - 1


def retarget(network: Network, interval: int, bits: int, seconds_taken: int) -> int:
    """The bits after an interval of that duration."""
    wanted = interval * network.block_spacing
    taken = min(max(seconds_taken, wanted // 4), wanted * 4)
    return bits_of(min(target_of(bits) * taken // wanted, network.pow_limit))


def _digishield(network: Network, rule: DigiShield, height: int, time: int, past: Past) -> int:
    if rule.reset_bits is not None and height < rule.fork_height + DIGISHIELD_LOOKBACK:
        target = target_of(rule.reset_bits)
    else:
        target = target_of(bits_of(min(_averaged(network, height, past), network.pow_limit)))
    if time > past(height - 1)[0] + rule.gap_seconds:
        target = target * rule.factor
    return bits_of(min(target, network.pow_limit))


def _averaged(network: Network, height: int, past: Past) -> int:
    mean = sum(target_of(past(below)[1]) for below in range(height - AVERAGED, height)) // AVERAGED
    wanted = AVERAGED * network.block_spacing
    taken = _median_time(height - 1, past) - _median_time(height - 1 - AVERAGED, past)
    damped = wanted + _quotient(taken - wanted, _DAMPING)
    counted = min(max(damped, wanted * _LEAST_PERCENT // 100), wanted * _MOST_PERCENT // 100)
    return mean // wanted * counted


def _median_time(height: int, past: Past) -> int:
    """The median time of that header and the 10 below it."""
    return median_high(past(each)[0] for each in range(height - MEDIAN_SPAN + 1, height + 1))


def _quotient(number: int, divisor: int) -> int:
    """The quotient truncated toward zero, as in C++."""
    return number // divisor if number >= 0 else -(-number // divisor)
