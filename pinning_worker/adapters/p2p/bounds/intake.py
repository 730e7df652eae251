"""What was heard and not yet read: bounded in messages and in bytes, dropping what does not fit, and counting it.

One flooder must not make us hold gigabytes, and must not be able to hide that it made us drop: `dropped` says so. It
keeps nobody else waiting: addresses take turns (connections, where no address is known), and in a full queue the
newest message of the one that has the most makes room for one that has less.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import trio

MOST_MESSAGES = 1024
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of somebody else, its signature checked. `origin` signed it, `forwarder` handed it to us (peer ids),
    from `address` (whereabouts.py)."""

    origin: str
    forwarder: str
    data: bytes
    address: str = ""

    @property
    def source(self) -> str:
        return self.address or self.forwarder


@dataclass(slots=True)
class _Waiting:
    """What one source has said, in order."""

    messages: deque[Heard] = field(default_factory=deque)
    bytes: int = 0


class Intake(AsyncIterator[Heard]):
    """A queue; several may read it, each message goes to one of them. `put` never waits."""

    def __init__(self, most_messages: int = MOST_MESSAGES, most_bytes: int = MOST_BYTES) -> None:
        self.dropped = 0
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()  # whose turn is next comes first
        self._messages = 0
        self._bytes = 0
        self._readers = trio.lowlevel.ParkingLot()

    def put(self, heard: Heard) -> bool:
        """False, and counted: there was no room."""
        if not self._make_room(heard):
            self.dropped += 1
            return False
        self._count(self._waiting.setdefault(heard.source, _Waiting()), heard, 1)
        self._waiting[heard.source].messages.append(heard)
        self._readers.unpark()
        return True

    def _make_room(self, heard: Heard) -> bool:
        size, own = len(heard.data), self._waiting.get(heard.source) or _Waiting()
        if size > self._most_bytes:
            return False
        while self._messages >= self._most_messages:
            greediest = max(self._waiting.values(), key=lambda each: len(each.messages))
            if len(greediest.messages) <= len(own.messages) + 1:
                return False
            self._drop(greediest)
        while self._bytes + size > self._most_bytes:
            greediest = max(self._waiting.values(), key=lambda each: each.bytes)
            if greediest.bytes <= own.bytes + size:
                return False
            self._drop(greediest)
        return True

    def _drop(self, greediest: _Waiting) -> None:
        self.dropped += 1
        lost = greediest.messages.pop()
        self._count(greediest, lost, -1)
        if not greediest.messages:
            del self._waiting[lost.source]

    def _count(self, waiting: _Waiting, heard: Heard, messages: int) -> None:
        waiting.bytes += messages * len(heard.data)
        self._bytes += messages * len(heard.data)
        self._messages += messages

    async def get(self) -> Heard:
        """The oldest one of whose turn it is; waits for it."""
        await trio.lowlevel.checkpoint()  # before the look: between it and the taking nobody else may run
        while not self._waiting:
            await self._readers.park()
        source, waiting = next(iter(self._waiting.items()))
        heard = waiting.messages.popleft()
        self._count(waiting, heard, -1)
        if waiting.messages:
            self._waiting.move_to_end(source)
        else:
            del self._waiting[source]
        return heard

    def __aiter__(self) -> AsyncIterator[Heard]:
        return self

    async def __anext__(self) -> Heard:
        return await self.get()
