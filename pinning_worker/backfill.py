"""The story of the past: the name index grows downwards, from the first start's tip to the chain's first block.

    the lowest indexed block -> the blocks just below it, every byte proven -> the index -> again

1. Newest first, so that names that can still be alive come first: a name lives for `name_life` blocks after its last
   operation, 36 000 on Doichain. `names.living_indexed` in the log says that all of them are there.
2. The index is the only memory: the lowest block in it says where to go on, after a stop as after a fault. Blocks are
   stored below exactly that block or not at all, so a deep reorg meanwhile leaves no gap and no orphan.
3. Nobody waits for the past: the chain reads it when nothing else is to be read (`ports/chain.py`), and each piece is
   one short write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
import trio

from pinning_worker.catalogue import name_rows
from pinning_worker.domain.chain.ancestors import FIRST_BLOCK
from pinning_worker.domain.chain.networks import Network
from pinning_worker.ports.chain import BlockOfNames, Chain, Past
from pinning_worker.ports.names import IndexedBlock, NameIndex
from pinning_worker.ports.world import Clock, Trouble

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 5.0  # while there is nothing to do: before the first block, or during a reorg
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0
MOST_ROWS = 1_000  # in one write: some 50 ms
TELL_EVERY = timedelta(hours=1)


@dataclass(slots=True)
class Backfill:
    """`changed` is called after each change of the index."""

    network: Network
    clock: Clock
    chain: Chain
    past: Past
    index: NameIndex
    changed: Callable[[], None]

    _tell_at: datetime | None = None
    _pause_seconds: float = FIRST_RETRY_SECONDS

    async def run(self) -> None:
        """Until the index reaches the first block, or until cancelled."""
        while not await self._is_complete():
            if not await self._step_or_pause():
                await trio.sleep(LOOK_EVERY_SECONDS)

    async def step(self) -> bool:
        """Stores some blocks; False if there is nothing to do now. Raises Trouble, and then nothing has changed."""
        lowest = await self.index.lowest()
        if lowest is None:
            return False
        blocks = self._for_one_write(await self.past.names_below(*lowest))
        if not blocks or not await self.index.add_below(*lowest, blocks):
            return False
        self.changed()
        await self._tell(lowest[0], blocks[-1].height)
        return True

    def _for_one_write(self, found: Sequence[BlockOfNames]) -> list[IndexedBlock]:
        """The highest blocks: MOST_ROWS rows together, or one block that has more. The books wait for each write."""
        blocks, rows = list[IndexedBlock](), 0
        for block in found:
            rows += len(block.ops)
            if blocks and rows > MOST_ROWS:
                break
            blocks.append(IndexedBlock(block.height, block.hash, tuple(name_rows(block, self.network))))
        return blocks

    async def _step_or_pause(self) -> bool:
        try:
            went_on = await self.step()
        except Exception as trouble:
            if not isinstance(trouble, Trouble):
                log.error("names.crashed", fault=repr(trouble), exc_info=trouble)
            await self._put_off(trouble)
            return True
        self._pause_seconds = FIRST_RETRY_SECONDS
        return went_on

    async def _is_complete(self) -> bool:
        try:
            lowest = await self.index.lowest()
        except Trouble as trouble:
            await self._put_off(trouble)
            return False
        return lowest is not None and lowest[0] <= FIRST_BLOCK

    async def _put_off(self, trouble: Exception) -> None:
        log.warning("names.past_put_off", error=str(trouble), seconds=self._pause_seconds)
        await self.clock.sleep(self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, LAST_RETRY_SECONDS)

    async def _tell(self, before: int, lowest: int) -> None:
        """Once an hour how far it is, and when it is done."""
        tip = await self.chain.tip()
        living = None if tip is None else max(FIRST_BLOCK, tip.height - self.network.name_life)
        if living is not None and lowest <= living < before:
            log.info("names.living_indexed", reaches_back_to=lowest)
        if lowest <= FIRST_BLOCK:
            log.info("names.completed", reaches_back_to=lowest)
        elif self._tell_at is None or self.clock.now() >= self._tell_at:
            self._tell_at = self.clock.now() + TELL_EVERY
            log.info("names.past_indexed", reaches_back_to=lowest, blocks_left=lowest - FIRST_BLOCK)
