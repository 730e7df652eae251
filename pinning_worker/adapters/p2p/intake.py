"""What was heard and not yet read: bounded in messages and in bytes, dropping what does not fit, and counting it.

One flooder must not make us hold gigabytes, and must not be able to hide that it made us drop: `dropped` says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio

MOST_MESSAGES = 1024
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of somebody else, its signature checked. `origin` signed it, `forwarder` handed it to us (peer ids)."""

    origin: str
    forwarder: str
    data: bytes


class Intake(AsyncIterator[Heard]):
    """A queue; several may read it, each message goes to one of them. `put` never waits."""

    def __init__(self, most_messages: int = MOST_MESSAGES, most_bytes: int = MOST_BYTES) -> None:
        self.dropped = 0
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._waiting: deque[Heard] = deque()
        self._bytes = 0
        self._readers = trio.lowlevel.ParkingLot()

    def put(self, heard: Heard) -> bool:
        """False, and counted: there was no room."""
        if len(self._waiting) >= self._most_messages or self._bytes + len(heard.data) > self._most_bytes:
            self.dropped += 1
            return False
        self._waiting.append(heard)
        self._bytes += len(heard.data)
        self._readers.unpark()
        return True

    async def get(self) -> Heard:
        """The oldest one; waits for it."""
        await trio.lowlevel.checkpoint()  # before the look: between it and the taking nobody else may run
        while not self._waiting:
            await self._readers.park()
        heard = self._waiting.popleft()
        self._bytes -= len(heard.data)
        return heard

    def __aiter__(self) -> AsyncIterator[Heard]:
        return self

    async def __anext__(self) -> Heard:
        return await self.get()
