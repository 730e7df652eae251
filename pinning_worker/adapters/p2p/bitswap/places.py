"""Places for messages that are being made or sent: each costs memory, and a slow one does not keep the quick waiting.

A message has one of the quick places; after QUICK seconds it moves to one of those for the slow, as soon as one is
free. So readers who take nothing fill the slow places, and then only is anybody kept waiting by them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from pinning_worker.one_error import one_error

QUICK = 2.0


class Places:
    def __init__(self, quick: int, slow: int) -> None:
        self._quick = trio.CapacityLimiter(quick)
        self._slow = trio.CapacityLimiter(slow)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Waits for a quick place."""
        message = object()
        await self._quick.acquire_on_behalf_of(message)
        held = [self._quick]
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._make_way, message, held)
                    yield
                    nursery.cancel_scope.cancel()
        finally:
            held[0].release_on_behalf_of(message)

    async def _make_way(self, message: object, held: list[trio.CapacityLimiter]) -> None:
        await trio.sleep(QUICK)
        await self._slow.acquire_on_behalf_of(message)
        held[0] = self._slow
        self._quick.release_on_behalf_of(message)
