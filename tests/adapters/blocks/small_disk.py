"""Scenes on a disk of 1 MiB, each in a process of its own: `python -m tests.adapters.blocks.small_disk PATH SCENE`."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path

import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.domain.content.multihash import Multihash, sha2_256
from pinning_worker.ports import DiskFull

DAY = date(2026, 11, 29)


async def until_full(path: Path) -> None:
    blocks = await DiskBlocks.open(path)
    names: list[Multihash] = []
    try:
        while True:
            data = os.urandom(100_000)
            name = sha2_256(data)
            await blocks.put(name, data)
            names.append(name)
    except DiskFull as error:
        print("DiskFull", "no room" if "no room for blocks" in str(error) else error)
    print("whole", await blocks.audit(names) == set() and len(names) > 5)
    print("aside", len(os.listdir(path / "aside")))
    await blocks.free(names[:2], DAY, was_paid=True)
    await blocks.put(name, data)
    print("after two were freed", await blocks.audit((name,)) == set())


async def too_few_inodes(path: Path) -> None:
    try:
        await DiskBlocks.open(path)
    except DiskFull as error:
        print("DiskFull", "no room" if "no room for blocks" in str(error) else error)


if __name__ == "__main__":
    trio.run({"until_full": until_full, "too_few_inodes": too_few_inodes}[sys.argv[2]], Path(sys.argv[1]))
