"""A budget that refills all the time and holds at most BURST_SECONDS of it.

Times are seconds of a clock that does not run backwards.
"""

from __future__ import annotations

from dataclasses import dataclass

BURST_SECONDS = 10.0


@dataclass(slots=True)
class Bucket:
    per_second: float
    left: float
    at: float

    @classmethod
    def full(cls, per_second: float, now: float) -> Bucket:
        return cls(per_second, per_second * BURST_SECONDS, now)

    def holds(self, amount: float, now: float) -> bool:
        self._refill(now)
        return self.left >= amount

    def take(self, wanted: int, now: float) -> int:
        """Takes as many of them as there are, and returns that number."""
        self._refill(now)
        taken = min(wanted, max(0, int(self.left)))
        self.left -= taken
        return taken

    def owe(self, amount: float, now: float) -> float:
        """Takes the amount, whether it is there or not. Returns the seconds until nothing is owed."""
        self._refill(now)
        self.left -= amount
        return max(0.0, -self.left / self.per_second)

    def _refill(self, now: float) -> None:
        self.left = min(self.per_second * BURST_SECONDS, self.left + (now - self.at) * self.per_second)
        self.at = now
