"""Blocks in a dict, with a quarantine beside it, on a disk that can fill up, rot and lose power.

`capacity` may be set at any time; `data` is open, so a story can damage a block or take one away; `power_cut` forgets
unsynced blocks, as a disk may.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import date
from itertools import islice

from trio.lowlevel import checkpoint

from pinning_worker.domain.content.multihash import Multihash, is_hash_of
from pinning_worker.domain.content.sizes import disk_room
from pinning_worker.ports.content import Quarantined
from pinning_worker.ports.world import DiskFull

_PIECE = 1000


class MemoryBlocks:
    """Port Blocks. `capacity` is in bytes, None for no limit; quarantined blocks do not count, for they would make
    room. `most_unpaid` is the room in quarantine for blocks that were never paid for."""

    def __init__(self, capacity: int | None = None, most_unpaid: int | None = None) -> None:
        self.capacity, self.most_unpaid = capacity, most_unpaid
        self.data: dict[Multihash, bytes] = {}
        self.freed: dict[tuple[date, bool], dict[Multihash, bytes]] = {}  # (day, was paid) -> blocks
        self.found_broken: Callable[[Multihash], None] = lambda _multihash: None
        self._unsynced: set[Multihash] = set()

    @property
    def used(self) -> int:
        return sum(map(len, self.data.values()))

    async def put(self, multihash: Multihash, data: bytes) -> None:
        await checkpoint()
        if is_hash_of(multihash, self.data.get(multihash)):
            return
        if self.capacity is not None and self.used + len(data) > self.capacity:
            raise DiskFull(f"no room for a block of {len(data)} bytes: {self.used} of {self.capacity} are used")
        self.data[multihash] = bytes(data)
        self._unsynced.add(multihash)

    async def get(self, multihash: Multihash) -> bytes | None:
        await checkpoint()
        data = self.data.get(multihash)
        if data is not None and not is_hash_of(multihash, data):
            self.found_broken(multihash)
            return None
        return data

    async def size(self, multihash: Multihash) -> int | None:
        await checkpoint()
        block = self.data.get(multihash)
        return None if block is None else len(block)

    async def sizes(self, multihashes: Sequence[Multihash]) -> dict[Multihash, int]:
        await checkpoint()
        return {name: len(self.data[name]) for name in multihashes if name in self.data}

    async def sync(self, multihashes: Sequence[Multihash]) -> None:
        await checkpoint()
        self._unsynced.difference_update(multihashes)

    async def audit(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        await checkpoint()
        return {name for name in multihashes if not is_hash_of(name, self.data.get(name))}

    async def free(self, multihashes: Sequence[Multihash], day: date, *, was_paid: bool) -> None:
        await checkpoint()
        folder = self.freed.setdefault((day, was_paid), {})
        folder |= {name: self.data.pop(name) for name in multihashes if name in self.data}
        if not was_paid:
            self._limit_unpaid()

    def _limit_unpaid(self) -> None:
        unpaid = [
            (key, name, data) for key in sorted(self.freed) if not key[1] for name, data in self.freed[key].items()
        ]
        room = sum(disk_room(len(data), 1) for _, _, data in unpaid)
        over = room - self.most_unpaid if self.most_unpaid is not None else 0
        for key, name, data in unpaid:
            if over > 0:
                del self.freed[key][name]
                over -= disk_room(len(data), 1)

    async def remember(self, multihashes: Sequence[Multihash], day: date) -> None:
        await checkpoint()
        folder = self.freed.setdefault((day, True), {})
        folder |= {name: self.data[name] for name in multihashes if name in self.data}

    async def recall(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        await checkpoint()
        recalled = set()
        for name in multihashes:
            copies = [folder[name] for folder in self.freed.values() if is_hash_of(name, folder.get(name))]
            if copies and name not in self.data:
                self.data[name] = copies[0]
                self._unsynced.add(name)
                recalled.add(name)
        return recalled

    async def purge(self, before: date) -> None:
        await checkpoint()
        self.freed = {key: folder for key, folder in self.freed.items() if key[0] >= before}

    async def quarantined(self) -> Sequence[Quarantined]:
        await checkpoint()
        found = [
            Quarantined(day, was_paid, len(folder), sum(map(len, folder.values())))
            for (day, was_paid), folder in self.freed.items()
            if folder
        ]
        return sorted(found, key=lambda each: (each.day, each.was_paid))

    async def all(self) -> AsyncGenerator[Sequence[Multihash], None]:
        names = iter(list(self.data))
        while piece := list(islice(names, _PIECE)):
            await checkpoint()
            yield piece

    def power_cut(self) -> None:
        """Drops every block that no `sync` named."""
        for multihash in self._unsynced:
            self.data.pop(multihash, None)
        self._unsynced.clear()
