"""The messages of one topic, to be read one after the other. The bounds are in `bounds/intake.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from pinning_worker.adapters.p2p.bounds.intake import MOST_BYTES, MOST_MESSAGES, Backlog, Heard


class Intake(AsyncIterator[Heard]):
    """A queue; several may read it, and each message goes to one of them. `put` never waits."""

    def __init__(self, most_messages: int = MOST_MESSAGES, most_bytes: int = MOST_BYTES) -> None:
        self._backlog = Backlog(most_messages, most_bytes)
        self._readers = trio.lowlevel.ParkingLot()

    @property
    def dropped(self) -> int:
        """How many messages found no room."""
        return self._backlog.dropped

    def put(self, heard: Heard) -> bool:
        """False: there was no room, and the loss is counted."""
        added = self._backlog.put(heard)
        if added:
            self._readers.unpark()
        return added

    async def get(self) -> Heard:
        """The oldest message of the source whose turn it is; waits for one."""
        await trio.lowlevel.checkpoint()  # before the look: between it and the taking no other task may run
        while (heard := self._backlog.take()) is None:
            await self._readers.park()
        return heard

    def __aiter__(self) -> AsyncIterator[Heard]:
        return self

    async def __anext__(self) -> Heard:
        return await self.get()
