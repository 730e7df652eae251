"""The name index in a dict of blocks: the measure for the SQL index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.money.payment import named_cid
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow
from pinning_worker.ports.names import IndexedBlock


@dataclass(slots=True)
class MemoryNameIndex:
    _blocks: dict[int, tuple[str, tuple[NameRow, ...]]] = field(default_factory=dict)
    _next: int | None = None
    _has_images: dict[bytes, bool] = field(default_factory=dict)

    async def next_height(self) -> int | None:
        await trio.lowlevel.checkpoint()
        return self._next

    async def hash_at(self, height: int) -> str | None:
        await trio.lowlevel.checkpoint()
        return self._blocks[height][0] if height in self._blocks else None

    async def lowest(self) -> tuple[int, str] | None:
        await trio.lowlevel.checkpoint()
        height = min(self._blocks, default=None)
        return None if height is None else (height, self._blocks[height][0])

    async def add(self, height: int, hash: str, rows: Sequence[NameRow]) -> None:
        await trio.lowlevel.checkpoint()
        if height != self._next:
            raise ValueError(f"block {height} is not the one to index next ({self._next})")
        self._blocks[height] = (hash, tuple(rows))
        self._next = height + 1

    async def add_below(self, height: int, hash: str, blocks: Sequence[IndexedBlock]) -> bool:
        if await self.lowest() != (height, hash):
            return False
        if [block.height for block in blocks] != list(range(height - 1, height - 1 - len(blocks), -1)):
            raise ValueError(f"those blocks do not lie just below {height}")
        self._blocks |= {block.height: (block.hash, block.rows) for block in blocks}
        return True

    async def resume_from(self, height: int) -> None:
        await trio.lowlevel.checkpoint()
        self._blocks = {known: block for known, block in self._blocks.items() if known < height}
        self._next = height

    async def find(self, wanted: NameFilter, times: range | None, offset: int, limit: int) -> Sequence[NameRow]:
        await trio.lowlevel.checkpoint()
        rows = self._newest_first()
        found = [row for row in rows if (times is None or row.blocktime in times) and self._selects(wanted, row)]
        return found[offset : offset + limit]

    async def search(self, text: bytes, limit: int) -> Sequence[NameRow]:
        await trio.lowlevel.checkpoint()
        return [row for row in self._newest_first() if row.name.find(text) >= 0 or row.value.find(text) >= 0][:limit]

    async def note_metadata(self, root: Root, has_images: bool) -> None:
        await trio.lowlevel.checkpoint()
        self._has_images[root] = has_images

    def _newest_first(self) -> list[NameRow]:
        rows = [row for _, indexed in self._blocks.values() for row in indexed]
        return sorted(rows, key=lambda row: (row.height, row.position), reverse=True)

    def _selects(self, wanted: NameFilter, row: NameRow) -> bool:
        named = named_cid(row.value)
        return row.matches(wanted, self._has_images.get(named[0].key) if named else None)
