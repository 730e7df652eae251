"""The clock twin: trio's own time, counted from a chosen day.

Under `trio.testing.MockClock(autojump_threshold=0)` months of simulated life pass in seconds, and everything that waits
wakes in order.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import trio

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


class MemoryClock:
    """`moved` adds seconds, as an operator who sets the clock does; sleepers do not notice."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start - timedelta(seconds=trio.current_time())
        self.moved = timedelta(0)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=trio.current_time()) + self.moved

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)
