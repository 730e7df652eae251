"""The shelf: who looks for a block that is just being written waits until it is."""

from __future__ import annotations

import trio
import trio.testing

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap.arriving_blocks import Shelf
from pinning_worker.domain.content.multihash import Multihash, sha2_256

DATA = b"a block"
MULTIHASH = sha2_256(DATA)


class _SlowDisk(MemoryBlocks):
    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = trio.Event(), trio.Event()

    async def put(self, multihash: Multihash, data: bytes) -> None:
        self.begun.set()
        await self.may_end.wait()
        await super().put(multihash, data)


async def test_what_is_being_written_is_waited_for() -> None:
    disk, found = _SlowDisk(), []
    shelf = Shelf(disk, lambda _: None)

    async def look() -> None:
        found.append((await shelf.size(MULTIHASH), await shelf.get(MULTIHASH)))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shelf.put, MULTIHASH, DATA)
            await disk.begun.wait()
            nursery.start_soon(look)
            await trio.testing.wait_all_tasks_blocked()
            assert not found
            disk.may_end.set()
    assert found == [(len(DATA), DATA)]
