"""The index of all NameOps: block by block without a gap, so that an answer to LIST leaves out none; rolled back in a
reorg, and filled downwards with the past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import KeptMedia, NameRow


@dataclass(frozen=True, slots=True)
class IndexedBlock:
    """One block for the index: its rows all have the block's time."""

    height: int
    hash: str
    rows: tuple[NameRow, ...]


class NameIndex(Protocol):
    """The NameOps of our chain's blocks from the lowest one indexed up to `next_height`, without a gap."""

    async def next_height(self) -> int | None:
        """The block to index next; None before the first start."""

    async def hash_at(self, height: int) -> str | None:
        """The hash of the block that was indexed at that height."""

    async def lowest(self) -> tuple[int, str] | None:
        """Height and hash of the lowest indexed block; None while no block is indexed."""

    async def add(self, height: int, hash: str, rows: Sequence[NameRow]) -> None:
        """Stores one block's rows, all with the block's time, and increments `next_height`, together or not at all.
        Raises ValueError for any height but `next_height`."""

    async def add_below(self, height: int, hash: str, blocks: Sequence[IndexedBlock]) -> bool:
        """Stores the blocks just below that one, the highest first, together or not at all. False, and nothing changes,
        if that block is not the lowest one any more. Raises ValueError for blocks that leave a gap."""

    async def resume_from(self, height: int) -> None:
        """Deletes the blocks from that height up, and makes it `next_height`."""

    async def find(self, wanted: NameFilter, times: range | None, offset: int, limit: int) -> Sequence[NameRow]:
        """A page of the rows that `NameRow.matches` selects, with a block time (seconds) in `times`; None is any.

        Order: (height, position in the block) descending. Raises Trouble.
        """

    async def search(self, text: bytes, limit: int) -> Sequence[NameRow]:
        """The newest rows whose name or value contains that text. It reads the whole index: for an operator alone."""

    async def note_metadata(self, root: Root, has_images: bool) -> None:
        """Stores whether the content under that root is a collection, for the filter `collections`."""


class Media(Protocol):
    """What this worker keeps of the content that names point to."""

    async def kept(self, root: Root) -> KeptMedia | None:
        """None if that content is not kept, or withheld. Raises Trouble."""
