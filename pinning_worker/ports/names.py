"""The index of all NameOps: block by block without a gap, so that an answer to LIST leaves out none; rolled back in a
reorg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow


class NameIndex(Protocol):
    """The NameOps of our chain's blocks, from the first start's tip up, without a gap."""

    async def next_height(self) -> int | None:
        """The block to index next; None before the first start."""

    async def hash_at(self, height: int) -> str | None:
        """The hash of the block that was indexed at that height."""

    async def add(self, height: int, hash: str, rows: Sequence[NameRow]) -> None:
        """Stores one block's rows, all with the block's time, and increments `next_height`, together or not at all.
        Raises ValueError for any height but `next_height`."""

    async def resume_from(self, height: int) -> None:
        """Deletes the blocks from that height up, and makes it `next_height`."""

    async def find(self, wanted: NameFilter, times: range | None, offset: int, limit: int) -> Sequence[NameRow]:
        """A page of the rows that `NameRow.matches` selects, with a block time (seconds) in `times`; None is any.

        Order: (height, position in the block) descending. Raises Trouble.
        """

    async def note_metadata(self, root: Root, has_images: bool) -> None:
        """Stores whether the content under that root is a collection, for the filter `collections`."""
