"""The memory twin of the crash file: `die` leaves to the next run what a death of the process leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class MemoryCrashNotes:
    """Port CrashNotes."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._at_work: Counter[str] = Counter()
        self.crashed: list[str] = []  # all work that ever crashed, forgiven or not

    def counts(self) -> Mapping[str, int]:
        return self._counts

    def begin(self, name: str) -> None:
        self._at_work[name] += 1

    def end(self, name: str, *, crashed: bool = False) -> int:
        self._at_work -= Counter([name])
        if crashed:
            self._counts[name] += 1
            self.crashed.append(name)
        else:
            del self._counts[name]
        return self._counts[name]

    def die(self) -> None:
        """Ends the process without an order: the next run counts the work under way."""
        self._counts.update(set(self._at_work))
        self._at_work.clear()
