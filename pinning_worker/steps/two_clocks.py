"""The end of a term or of a quote, by two clocks: ours, and the median time of the last 11 verified headers.

A fast clock, or headers forged by a server, would free paid content; both do not go wrong together by accident. While
the two disagree nothing is freed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.pin import STANDING, Pin, PinKey, State
from pinning_worker.ports.books import Books, Change
from pinning_worker.ports.chain import Chain
from pinning_worker.ports.world import Clock

log = structlog.get_logger()

CLOCKS_APART = timedelta(days=1)  # beyond it an error is logged


@dataclass(slots=True)
class TwoClocks:
    clock: Clock
    books: Books
    chain: Chain
    _past_end: set[PinKey] = field(default_factory=set)  # ended by our clock, not yet by the chain's
    _past_lapse: set[Root] = field(default_factory=set)  # the same of quotes

    async def is_over(self, pin: Pin, now: datetime) -> bool:
        """Whether the term is over by the chain too; call it once our clock says so. If not, each block looks again."""
        self._past_end.add(pin.key)  # first: the deciding block may come during this look
        tip = await self.chain.tip()
        assert pin.ends is not None
        if tip is not None and tip.median_time >= pin.ends:
            if not await self.chain.is_read():  # a renewal may be unread
                return False
            self._past_end.discard(pin.key)
            return True
        if tip is None or abs(now - tip.median_time) > CLOCKS_APART:
            chain = tip.median_time.isoformat() if tip is not None else None
            log.error("clock.disagrees", ours=now.isoformat(), chain=chain, effect="nothing is freed")
        return False

    async def is_lapsed(self, root: Root, ends: datetime) -> bool:
        """Whether a root's last quote is over by the chain too; call it once our clock says so. If not, each block
        looks again."""
        self._past_lapse.add(root)  # first, as above
        tip = await self.chain.tip()
        if tip is None or tip.median_time < ends:
            return False
        self._past_lapse.discard(root)
        return True

    async def look_again_at_ends(self) -> None:
        """Makes pins and requests due whose end our clock had passed, and the chain had not before this block."""
        roots, self._past_lapse = self._past_lapse, set()
        for root in roots:
            request = await self.books.request(root)
            if request is not None and request.due_at is not None and request.state is State.QUOTED:
                await self.books.commit(Change(requests=(replace(request, due_at=self.clock.now()),)))
        keys, self._past_end = self._past_end, set()
        for key in keys:
            pin = await self.books.pin(key)
            if pin is not None and pin.due_at is not None and pin.state in STANDING | {State.OWED}:
                await self.books.commit(Change(pins=(replace(pin, due_at=self.clock.now()),)))
