"""Swartz: the only type of money here.

1 DOI = 100 000 000 swartz. Amounts are whole swartz, never floats: the predecessor compared DOI floats with
swartz integers and called every payment insufficient. A float is a type error, here and in the type checker.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SWARTZ_PER_DOI = 100_000_000


@dataclass(frozen=True, order=True, slots=True)
class Swartz:
    """A whole number of swartz; negative only as a difference."""

    amount: int

    def __post_init__(self) -> None:
        if type(self.amount) is not int:
            raise TypeError(f"swartz are whole numbers, not {type(self.amount).__name__}: {self.amount!r}")

    def __add__(self, other: Swartz) -> Swartz:
        return Swartz(self.amount + other.amount)

    def __sub__(self, other: Swartz) -> Swartz:
        return Swartz(self.amount - other.amount)

    def __bool__(self) -> bool:
        return self.amount != 0

    def __str__(self) -> str:
        sign, whole = "-" if self.amount < 0 else "", abs(self.amount)
        return f"{sign}{whole // SWARTZ_PER_DOI}.{whole % SWARTZ_PER_DOI:08d} DOI"

    @staticmethod
    def total(amounts: Iterable[Swartz]) -> Swartz:
        return Swartz(sum(amount.amount for amount in amounts))


ZERO = Swartz(0)
