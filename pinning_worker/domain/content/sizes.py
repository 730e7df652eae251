"""How much a closure weighs: exact integers, and the text that the deployed browser shows.

`metadata` is the asked CID's own unique block bytes, `image` what it references and was not counted yet, `total`
their sum. The text is what JavaScript's `parseFloat((n / 1024 ** i).toFixed(2))` prints: half up, trailing zeros
dropped. Dividing by a power of 1024 is exact in a double, so whole numbers give the same digits without a float
coming near.
"""

from __future__ import annotations

from dataclasses import dataclass

PIECE = 4096  # bytes: a file takes whole pieces of a disk, so the smallest block takes one

_UNITS = ("Bytes", "KB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a closure. Raises ValueError when the parts are not the whole."""

    metadata: int
    image: int
    total: int

    def __post_init__(self) -> None:
        if min(self.metadata, self.image) < 0 or self.metadata + self.image != self.total:
            raise ValueError(f"{self.metadata} + {self.image} bytes are not {self.total}")


def disk_room(size: int, blocks: int) -> int:
    """Bytes that so many blocks, of so many bytes together, are counted with where room is limited: no less than half
    of what they take of a disk, however small each of them is."""
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
