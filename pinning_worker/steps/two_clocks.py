"""The end of a term, by two clocks: ours, and the median time of the last 11 verified headers.

A clock that runs ahead, or headers that a server makes up, would free what is paid for; both together do not go wrong
by accident. While the two disagree nothing is freed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from pinning_worker.domain.pin import STANDING, Pin, PinKey, State
from pinning_worker.ports.books import Books, Change
from pinning_worker.ports.chain import Chain
from pinning_worker.ports.world import Clock

log = structlog.get_logger()

CLOCKS_APART = timedelta(days=1)  # beyond it the operator is told


@dataclass(slots=True)
class TwoClocks:
    clock: Clock
    books: Books
    chain: Chain
    _past_end: set[PinKey] = field(default_factory=set)  # ended by our clock, not yet by the chain's

    async def is_over(self, pin: Pin, now: datetime) -> bool:
        """Asked once it is over by our clock. While the chain says no, each block is a moment to look again."""
        self._past_end.add(pin.key)  # first: the block that settles it may come while we look
        tip = await self.chain.tip()
        assert pin.ends is not None
        if tip is not None and tip.median_time >= pin.ends:
            if not await self.chain.is_read():  # it may have been renewed
                return False
            self._past_end.discard(pin.key)
            return True
        if tip is None or abs(now - tip.median_time) > CLOCKS_APART:
            chain = tip.median_time.isoformat() if tip is not None else None
            log.error("clock.disagrees", ours=now.isoformat(), chain=chain, effect="nothing is freed")
        return False

    async def look_again_at_ends(self) -> None:
        """Pins whose end our clock has passed and the chain's had not, before this block."""
        keys, self._past_end = self._past_end, set()
        for key in keys:
            pin = await self.books.pin(key)
            if pin is not None and pin.due_at is not None and pin.state in STANDING | {State.OWED}:
                await self.books.commit(Change(pins=(replace(pin, due_at=self.clock.now()),)))
