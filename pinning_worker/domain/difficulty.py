"""Difficulty: the compact form of a target, the work that it stands for, and how it changes with time.

After doichain-core `arith_uint256.cpp` and `pow.cpp`. A target is what a header's hash, read as a little-endian number,
must not exceed; its work is 2^256 / (target + 1), the expected number of hashes. Chain work is the sum since genesis:
68 bits on mainnet, a Python int here and never an SQLite INTEGER.

Every `retarget_interval` blocks the target follows the time that they took, at least a quarter and at most four times
what they should take. Since merge mining began, one block more is looked back at than in Bitcoin.
"""

from __future__ import annotations

from pinning_worker.domain.chain import Network


class BadBits(ValueError):
    """Bits that stand for no target."""


def target_of(bits: int) -> int:
    """The target that `bits` stand for (SetCompact). Raises BadBits where it is zero, negative or over 256 bits."""
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


def is_retarget(network: Network, height: int) -> bool:
    return network.retargeting and height % network.retarget_interval == 0


def lookback(network: Network, height: int) -> int:
    """How many blocks before its predecessor a retarget at `height` looks."""
    interval = network.retarget_interval
    whole = height - 1 >= network.auxpow_from_height and height > interval
    return interval if whole else interval - 1


def retarget(network: Network, bits: int, seconds_taken: int) -> int:
    """The bits after an interval that took so long."""
    wanted = network.retarget_interval * network.block_spacing
    taken = min(max(seconds_taken, wanted // 4), wanted * 4)
    return bits_of(min(target_of(bits) * taken // wanted, network.pow_limit))
