"""The shelf: block files go when nothing holds them, and never under somebody's feet.

Files are deleted, and a fresh closure checked for completeness, under one lock: neither can slip between the other's
looking and doing. What a crash leaves unreferenced is swept at the next quiet moment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

import structlog
import trio

from pinning_worker.domain.pin import REQUEST_HOLDS, Pin
from pinning_worker.ports import Blocks, Books, Change
from pinning_worker.steps.closure import Closure

log = structlog.get_logger()


@dataclass(slots=True)
class Shelf:
    books: Books
    blocks: Blocks
    untidy: bool = True  # something may lie there that nothing references: true at every start
    _lock: trio.Lock = field(default_factory=trio.Lock)

    @asynccontextmanager
    async def holding_still(self) -> AsyncGenerator[None, None]:
        """Inside, no file is deleted."""
        async with self._lock:
            yield

    async def lacks(self, closure: Closure) -> bool:
        """Is a block of it missing? To be asked, and its references stored, while `holding_still`."""
        for multihash in closure.blocks:
            if await self.blocks.size(multihash) is None:
                return True
        return False

    async def throw_away(self, multihashes: Sequence[bytes]) -> None:
        """Broken blocks, whoever references them."""
        async with self._lock:
            await self.blocks.delete(multihashes)

    async def let_go(self, pin: Pin, change: Change) -> bool:
        """Stores a pin that no longer holds its root, and frees the blocks that nothing else holds."""
        request = await self.books.request(pin.root)
        others = [other for other in await self.books.pins_of(pin.root) if other.key != pin.key]
        if any(other.keeps for other in others) or (request and request.state in REQUEST_HOLDS):
            return await self.books.commit(change)
        emptied = tuple(replace(r, sizes=None) for r in change.requests)
        return await self.store_and_free(replace(change, requests=emptied, release=(pin.root,)))

    async def store_and_free(self, change: Change, also: Sequence[bytes] = ()) -> bool:
        """One change and the deletion of what it leaves unreferenced. `also`: blocks that were never referenced."""
        async with self._lock:
            candidates = dict.fromkeys(also)
            for root in change.release:
                candidates.update(dict.fromkeys(await self.books.held(root)))
            if not await self.books.commit(change):
                return False
            await self.blocks.delete(tuple(await self.books.unreferenced(tuple(candidates))))
            return True

    async def sweep(self) -> None:
        """Blocks that nothing references go: what a crash or a full disk left between a put and its record."""
        async with self._lock, aclosing(self.blocks.all()) as pieces:
            async for multihashes in pieces:
                orphans = await self.books.unreferenced(multihashes)
                if orphans:
                    log.info("freeing blocks that nothing holds", blocks=len(orphans))
                    await self.blocks.delete(tuple(orphans))
        self.untidy = False
