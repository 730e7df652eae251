"""Places for messages that are being made or sent: each costs memory, and a slow one does not keep the quick waiting.

A message begins in a place of its peer's speed. One that is not sent after QUICK_SECONDS moves from a quick place to a
slow one; if no slow place is free it is abandoned (NoPlace), and sent anew when its peer has one. So quick places are
free again within seconds, whatever peers hold them. A peer that took nothing of a message waits for one of the few
stalled places: peers that read nothing are served last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum

import trio

from pinning_worker.adapters.p2p.frames import StreamGone
from pinning_worker.ungroup import one_error

QUICK_SECONDS = 2.0
PIECE = 128 * 1024
UNTAKEN = 2  # pieces that go into the first window of a stream (yamux: 256 KiB), even if the peer reads nothing


class Speed(Enum):
    """Of a peer, by its last message."""

    QUICK = "took it within seconds"
    SLOW = "took some of it"
    STALLED = "took nothing"


class NoPlace(StreamGone):
    """The message was abandoned to free its place; it is sent anew in a slow place."""


class Place:
    """`speed`: of the peer, as far as is known by now."""

    def __init__(self, speed: Speed) -> None:
        self.speed = speed
        self.began = trio.current_time()
        self._taken = 0

    def took(self) -> None:
        """The peer took another piece."""
        self._taken += 1

    def judge(self, *, done: bool) -> None:
        """Sets `speed` once the message was sent, or given up."""
        if done and trio.current_time() - self.began < QUICK_SECONDS:
            self.speed = Speed.QUICK
        else:
            self.speed = Speed.SLOW if self._taken > UNTAKEN else Speed.STALLED


class Places:
    """How many messages there may be at once to peers of each speed."""

    def __init__(self, quick: int, slow: int, stalled: int) -> None:
        self._limits = {
            Speed.QUICK: trio.CapacityLimiter(quick),
            Speed.SLOW: trio.CapacityLimiter(slow),
            Speed.STALLED: trio.CapacityLimiter(stalled),
        }

    @asynccontextmanager
    async def one(
        self, speed: Speed = Speed.QUICK, judged: Callable[[Speed], None] = lambda _speed: None
    ) -> AsyncIterator[Place]:
        """Waits for a place of that speed. Raises NoPlace out of the block; `judged` then gets the speed that the peer
        showed."""
        message = object()
        await self._limits[speed].acquire_on_behalf_of(message)
        place, held, done = Place(speed), [self._limits[speed]], False
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    if speed is Speed.QUICK:
                        nursery.start_soon(self._make_way, message, held)
                    yield place
                    done = True
                    nursery.cancel_scope.cancel()
        finally:
            place.judge(done=done)
            judged(place.speed)
            held[0].release_on_behalf_of(message)

    async def _make_way(self, message: object, held: list[trio.CapacityLimiter]) -> None:
        await trio.sleep(QUICK_SECONDS)
        slow = self._limits[Speed.SLOW]
        try:
            slow.acquire_on_behalf_of_nowait(message)
        except trio.WouldBlock:
            raise NoPlace("others wait, and this message is taken slowly") from None
        held[0].release_on_behalf_of(message)
        held[0] = slow
