"""A process to kill: puts big blocks, eight at a time, for ever. `python -m tests.adapters.blocks.writer PATH`."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.domain.content.multihash import sha2_256

DAY = date(2026, 11, 29)


async def put_for_ever(blocks: DiskBlocks, number: int) -> None:
    """Nearly all of its time is spent in the middle of a put."""
    data = bytes([number]) * 4_000_000
    name = sha2_256(data)
    while True:
        await blocks.free((name,), DAY, was_paid=True)
        await blocks.put(name, data)
        print("put", flush=True)


async def main(path: Path) -> None:
    blocks = await DiskBlocks.open(path)
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(put_for_ever, blocks, number)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
