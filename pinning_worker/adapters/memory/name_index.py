"""The name index in a dict of blocks: the measure for the SQL index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.money.payment import named_cid
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow


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

    async def add(self, height: int, hash: str, rows: Sequence[NameRow]) -> None:
        await trio.lowlevel.checkpoint()
        if height != self._next:
            raise ValueError(f"block {height} is not the one to index next ({self._next})")
        self._blocks[height] = (hash, tuple(rows))
        self._next = height + 1

    async def resume_from(self, height: int) -> None:
        await trio.lowlevel.checkpoint()
        self._blocks = {known: block for known, block in self._blocks.items() if known < height}
        self._next = height

    async def find(self, wanted: NameFilter, times: range | None, offset: int, limit: int) -> Sequence[NameRow]:
        await trio.lowlevel.checkpoint()
        rows = [row for _, indexed in self._blocks.values() for row in indexed]
        rows.sort(key=lambda row: (row.height, row.position), reverse=True)
        found = [row for row in rows if (times is None or row.blocktime in times) and self._selects(wanted, row)]
        return found[offset : offset + limit]

    async def note_metadata(self, root: Root, has_images: bool) -> None:
        await trio.lowlevel.checkpoint()
        self._has_images[root] = has_images

    def _selects(self, wanted: NameFilter, row: NameRow) -> bool:
        named = named_cid(row.value)
        return row.matches(wanted, self._has_images.get(named[0].key) if named else None)
