"""The sizes of a closure: exact integers, and the text that the deployed browser shows.

`metadata` is the unique block bytes of the requested CID itself, `image` those of its references that were not counted
yet, `total` their sum. The text equals the output of JavaScript's `parseFloat((n / 1024 ** i).toFixed(2))`: half up,
trailing zeros dropped. A division by a power of 1024 is exact in a double, so integers give the same digits without a
float.
"""

from __future__ import annotations

from dataclasses import dataclass

MEASURE = 1  # the version of this rule of measuring; a tariff names the one that it is charged by
PIECE = 4096  # bytes: a file occupies whole pieces of a disk, so the smallest block occupies one

_UNITS = ("Bytes", "KB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a closure. Raises ValueError unless the parts add up to the total."""

    metadata: int
    image: int
    total: int

    def __post_init__(self) -> None:
        if min(self.metadata, self.image) < 0 or self.metadata + self.image != self.total:
            raise ValueError(f"{self.metadata} + {self.image} bytes are not {self.total}")


def disk_room(size: int, blocks: int) -> int:
    """The bytes that limits of room count for `blocks` blocks of `size` bytes together: no less than half of their
    actual room on a disk, however small each of them is."""
    return max(size, blocks * PIECE)


def human_size(size: int) -> str:
    """`1152` is `1.13 KB`, `1024` is `1 KB`, `0` is `0 Bytes`; beyond terabytes the number just grows."""
    if size < 0:
        raise ValueError(f"a size is never negative: {size}")
    power = 0
    while power < len(_UNITS) - 1 and size >= 1024 ** (power + 1):
        power += 1
    unit: int = 1024**power
    hundredths = (size * 200 + unit) // (2 * unit)
    digits = f"{hundredths // 100}.{hundredths % 100:02d}".rstrip("0").rstrip(".")
    return f"{digits} {_UNITS[power]}"
