"""A clock for processes that are killed: it stands in a file, and moves only when it is told to.

Whoever is killed goes on, in the next life, at the moment that the file holds. Eight bytes written by one call are
there whole or not at all, as far as SIGKILL is concerned.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import trio

from pinning_worker.adapters.memory.clock import START


class StoredClock:
    """Port Clock. `pace` is awaited after every step in time: it says how fast time flies."""

    def __init__(self, file: Path, pace: Callable[[], Awaitable[None]]) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
        self._pace = pace
        self._now = read_clock(file)
        self._sleepers: dict[tuple[datetime, int], trio.Event] = {}
        self._numbers = count()

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        place, woken = (self._now + timedelta(seconds=seconds), next(self._numbers)), trio.Event()
        self._sleepers[place] = woken
        try:
            if seconds > 0:
                await woken.wait()
            else:
                await trio.lowlevel.checkpoint()
        finally:
            self._sleepers.pop(place, None)

    async def reach(self, moment: datetime) -> None:
        """Time passes up to that moment; everybody who sleeps until then wakes in order."""
        while self._now < moment:
            self.set(min([moment, *(until for until, _ in self._sleepers)]))
            for place in sorted(self._sleepers):
                if place[0] <= self._now:
                    self._sleepers.pop(place).set()
            await self._pace()

    def set(self, moment: datetime) -> None:
        self._now = max(moment, self._now)
        micros = (self._now - START) // timedelta(microseconds=1)
        os.pwrite(self._descriptor, micros.to_bytes(8, "big"), 0)


def read_clock(file: Path) -> datetime:
    return START + timedelta(microseconds=int.from_bytes(file.read_bytes(), "big"))
