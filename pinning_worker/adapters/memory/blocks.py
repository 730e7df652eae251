"""Blocks in a dict, with a disk that can fill up, rot and lose power.

`capacity` may be set at any time; `data` is open, so a story can damage a block or take one away; `power_cut` forgets
what was not synced, as a disk may.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from itertools import islice

from trio.lowlevel import checkpoint

from pinning_worker.domain.multihash import is_hash_of
from pinning_worker.ports import DiskFull

_PIECE = 1000


class MemoryBlocks:
    """Port Blocks. `capacity`: bytes, None for no limit."""

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.data: dict[bytes, bytes] = {}
        self._unsynced: set[bytes] = set()

    @property
    def used(self) -> int:
        return sum(map(len, self.data.values()))

    async def put(self, multihash: bytes, data: bytes) -> None:
        await checkpoint()
        if multihash in self.data:
            return
        if self.capacity is not None and self.used + len(data) > self.capacity:
            raise DiskFull(f"no room for a block of {len(data)} bytes: {self.used} of {self.capacity} are used")
        self.data[multihash] = bytes(data)
        self._unsynced.add(multihash)

    async def get(self, multihash: bytes) -> bytes | None:
        await checkpoint()
        return self.data.get(multihash)

    async def size(self, multihash: bytes) -> int | None:
        await checkpoint()
        block = self.data.get(multihash)
        return None if block is None else len(block)

    async def sync(self, multihashes: Sequence[bytes]) -> None:
        await checkpoint()
        self._unsynced.difference_update(multihashes)

    async def audit(self, multihashes: Sequence[bytes]) -> set[bytes]:
        await checkpoint()
        return {name for name in multihashes if not is_hash_of(name, self.data.get(name))}

    async def delete(self, multihashes: Sequence[bytes]) -> None:
        await checkpoint()
        for multihash in multihashes:
            self.data.pop(multihash, None)

    async def all(self) -> AsyncGenerator[Sequence[bytes], None]:
        names = iter(list(self.data))
        while piece := list(islice(names, _PIECE)):
            await checkpoint()
            yield piece

    def power_cut(self) -> None:
        """Every block that no `sync` named is gone."""
        for multihash in self._unsynced:
            self.data.pop(multihash, None)
        self._unsynced.clear()
