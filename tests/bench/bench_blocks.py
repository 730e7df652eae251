"""What the checks of the block store cost: `python -m tests.bench.bench_blocks [BLOCKS]` (200 of 1 MiB each).

A read that checks the hash against plain reads of the same files, comparing a root with the books (sizes of all its
blocks, four hashes), and a block's way into quarantine and back.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from pathlib import Path

import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks, file_of
from pinning_worker.domain.content.multihash import Multihash, sha2_256

MIB = 1_048_576
ROUNDS = 5


async def best(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds of the quickest round."""
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await work()
        took.append(time.perf_counter() - begun)
    return min(took)


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blocks = await DiskBlocks.open(Path(folder))
        names = [await _put(blocks, os.urandom(MIB)) for _ in range(count)]
        checked = await best(lambda: _each(blocks.get, names))
        plain = await best(lambda: _each(lambda name: trio.to_thread.run_sync(_read, folder, name), names))
        print(f"reads: checked {count / checked:6.0f} MiB/s, plain {count / plain:6.0f} MiB/s: {plain / checked:.2f}x")
        compared = await best(lambda: blocks.sizes(names))
        print(f"comparing names and sizes: {count / compared:,.0f} blocks a second")

        async def there_and_back() -> None:
            await blocks.free(names, date(2026, 11, 29), was_paid=True)
            await blocks.recall(names)

        print(f"into quarantine and back: {count / await best(there_and_back):,.0f} blocks of 1 MiB a second")


async def _put(blocks: DiskBlocks, data: bytes) -> Multihash:
    name = sha2_256(data)
    await blocks.put(name, data)
    return name


async def _each(work: Callable[[Multihash], Awaitable[object]], names: Sequence[Multihash]) -> None:
    for name in names:
        await work(name)


def _read(folder: str, name: Multihash) -> bytes:
    with open(file_of(folder, name), "rb") as file:
        return file.read()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 200)
