"""Checking: the worker calls a root kept only after a comparison in this run.

The audit before a pin shows that every block was there, once. A disk may lose blocks afterwards: an incomplete
restore, a bad sector, an operator's mistake. So before the first "kept" of a root in a run, its blocks are compared
with the books: their names, the sum of their sizes, and the hashes of a few drawn at random. The rest of the store
follows in the background, and all of it again each day. A root with a missing or broken block is owed from then on,
and fetched again.

A read that finds a broken block has the same effect at once, for every root that holds it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial

import structlog
import trio

from pinning_worker.domain.content.cid import Root, cid_text
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import LIVE
from pinning_worker.ports.world import Trouble
from pinning_worker.steps.crashes import Crashes
from pinning_worker.steps.losing import Losing
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.whole_roots import WholeRoots

log = structlog.get_logger()

SAMPLE = 4  # blocks of a root that are hashed
MOST_BROKEN = 1000  # found by reads and not handled yet; a block beyond the limit is noted by its next read
PACE_SECONDS = 0.05  # between two roots in the background
AGAIN_SECONDS = 60.0  # after a failure of the disk or the database
ROUNDS = 3  # for roots that could not be read; after them the next day's pass
NEXT_PASS_SECONDS = 86_400.0  # a lost file causes no event, so the whole store is compared once a day


@dataclass(slots=True)
class Checking(Chapter):
    crashes: Crashes
    losing: Losing
    whole: WholeRoots
    _broken: dict[Multihash, None] = field(default_factory=dict)
    _news: trio.Event = field(default_factory=trio.Event)

    def note_broken(self, multihash: Multihash) -> None:
        """A read found bytes that do not match this name."""
        if len(self._broken) < MOST_BROKEN:
            self._broken[multihash] = None
            self._news.set()

    async def is_kept(self, root: Root) -> bool:
        """Whether all blocks of a root that LIVE pins keep are here. Raises Trouble."""
        if root in self.whole:
            return True
        bad = await self._look(root)
        if bad is None:
            self.whole.note_whole(root)
            return True
        await self.losing.damaged(root, bad)
        return False

    async def run(self) -> None:
        """Until cancelled: handles broken blocks that reads found, and compares root by root."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_at_broken)
            nursery.start_soon(self._look_at_all)

    async def _look(self, root: Root) -> set[Multihash] | None:
        """The blocks that are missing or broken, perhaps none; None: the root is whole."""
        held, request = await self.books.held(root), await self.books.request(root)
        if not held or request is None or request.sizes is None:
            return set()
        sizes = await self.blocks.sizes(held)
        as_counted = len(sizes) == len(held) and sum(sizes.values()) == request.sizes.total
        drawn = held if not as_counted else random.sample(held, min(SAMPLE, len(held)))  # not a secret
        bad = await self.blocks.audit(drawn)
        if bad and as_counted:
            bad = await self.blocks.audit(held)
        return bad or None

    async def _look_at_all(self) -> None:
        while True:
            todo, damaged, count = await self._live_roots(), 0, 0
            for _ in range(ROUNDS):
                left = []
                for root in todo:
                    is_kept = await self._compare(root)
                    if is_kept is None:
                        left.append(root)  # the disk or the database failed: go on with the others
                    else:
                        damaged, count = damaged + (not is_kept), count + 1
                    await self.clock.sleep(PACE_SECONDS)
                todo = left
                await self.clock.sleep(AGAIN_SECONDS if left else 0)
            log.info("check.store_compared", roots=count, damaged=damaged, unreadable=len(todo))
            await self.clock.sleep(NEXT_PASS_SECONDS)
            self.whole.forget_all()

    async def _live_roots(self) -> list[Root]:
        while True:
            try:
                return list(dict.fromkeys(pin.root for pin in await self.books.all_pins() if pin.state in LIVE))
            except Trouble as trouble:
                log.error("check.put_off", seconds=AGAIN_SECONDS, reason=str(trouble))
                await self.clock.sleep(AGAIN_SECONDS)

    async def _compare(self, root: Root) -> bool | None:
        """Whether its blocks are here, or no longer needed; None: the root is set aside, or could not be read."""
        if self.crashes.is_aside(root):
            return None
        try:
            if await self.crashes.guard("check", root, partial(self._is_whole, root)):
                return True
        except Trouble as trouble:
            log.error("check.put_off", cid=cid_text(root), seconds=AGAIN_SECONDS, reason=str(trouble))
            return None
        log.error("check.root_damaged", cid=cid_text(root))
        return False

    async def _is_whole(self, root: Root) -> bool:
        return not await self._is_live(root) or await self.is_kept(root)

    async def _is_live(self, root: Root) -> bool:
        """Whether it is still live: it may have ended, or been found damaged, since the list was made."""
        return any(pin.state in LIVE for pin in await self.books.pins_of(root))

    async def _look_at_broken(self) -> None:
        while True:
            await self._news.wait()
            self._news = trio.Event()
            try:
                while self._broken:
                    multihash = next(iter(self._broken))
                    await self._tell_holders(multihash)
                    del self._broken[multihash]
            except Trouble as trouble:
                log.error("check.put_off", seconds=AGAIN_SECONDS, reason=str(trouble))
                self._news.set()
                await self.clock.sleep(AGAIN_SECONDS)

    async def _tell_holders(self, multihash: Multihash) -> None:
        holders = (await self.books.holders([multihash])).get(multihash)
        if not holders or self.crashes.is_aside(root := min(holders)):
            return
        await self.crashes.guard(
            "damaged", root, partial(self.losing.damaged, root, {multihash})
        )  # and to all its holders
