"""Opens books and blocks together, or not at all: reads and writes the marks on which `domain.store_mark` decides."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import trio
from sqlalchemy import make_url

from pinning_worker.adapters.blocks import mark_file
from pinning_worker.adapters.blocks.disk import file_of
from pinning_worker.adapters.sql import store_mark
from pinning_worker.adapters.sql.database import Database
from pinning_worker.domain.store_mark import Found, Mark, Mismatch, mismatch, next_mark

_A_FEW = 100  # held blocks to look for on disk: one that is there shows that both belong together, even without a mark


class NotItsBlocks(Exception):
    """The database and the block folder do not belong together. The text gives the reason and the remedy."""

    def __init__(self, kind: Mismatch, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Store:
    """A database and the folder of its blocks."""

    database: Database
    database_url: str
    blocks: Path

    async def look(self) -> Found:
        """Reads both marks, and looks for blocks. Changes nothing. Raises Trouble."""
        held = await store_mark.some_held(self.database, _A_FEW)
        there = await trio.to_thread.run_sync(
            lambda: any(os.path.exists(file_of(str(self.blocks), multihash)) for multihash in held)
        )
        return Found(
            books=await store_mark.read_mark(self.database),
            blocks=await trio.to_thread.run_sync(mark_file.read_mark, self.blocks),
            books_hold=bool(held),
            has_blocks=await trio.to_thread.run_sync(mark_file.has_any_block, self.blocks),
            shared=there,
        )

    def require_pair(self, found: Found) -> None:
        """Raises NotItsBlocks if the two do not belong together."""
        kind = mismatch(found)
        if kind is not None:
            raise NotItsBlocks(kind, self._text(kind, found))

    async def write(self, mark: Mark) -> None:
        """Writes the mark of the books first. Raises Trouble."""
        await store_mark.write_mark(self.database, mark)
        await trio.to_thread.run_sync(mark_file.write_mark, self.blocks, mark)

    async def open_together(self) -> None:
        """Counts one more start on both. Raises NotItsBlocks, Trouble."""
        found = await self.look()
        self.require_pair(found)
        await self.write(next_mark(found, secrets.token_hex(16)))

    async def count_backup(self) -> None:
        """Makes the copy just taken the older books, so that a start refuses it beside these blocks. Writes the mark of
        the books first; a worker that starts meanwhile may already have written the file. Raises Trouble."""
        mark = await store_mark.raise_mark(self.database)
        there = await trio.to_thread.run_sync(mark_file.read_mark, self.blocks)
        if mark is not None and (there is None or there.starts < mark.starts):
            await trio.to_thread.run_sync(mark_file.write_mark, self.blocks, mark)

    def _text(self, kind: Mismatch, found: Found) -> str:
        database = make_url(self.database_url).render_as_string()  # hides the password
        match kind:
            case Mismatch.LOST:
                return (
                    f"the database {database} says that blocks are kept, and {self.blocks} has none. Is the disk "
                    "mounted? If they are lost, `pinning-worker recover --blocks-are-lost` lets the worker start: what "
                    "was paid for is then owed, and fetched again"
                )
            case Mismatch.NEW:
                return (
                    f"the database {database} knows of no block, and {self.blocks} has some: is PINNING_DATABASE_URL "
                    "right? If the database is lost, put its newest backup back; `pinning-worker recover` then brings "
                    "it up to date, also one that is empty. No block is touched until then"
                )
            case Mismatch.OLDER:
                assert found.books is not None
                assert found.blocks is not None
                return (
                    f"the database {database} is older than the blocks in {self.blocks} (it was started "
                    f"{found.books.starts} times, they {found.blocks.starts} times): a backup that was put back? "
                    "`pinning-worker recover` brings it up to date. No block is touched until then"
                )
            case Mismatch.OTHER:
                return (
                    f"the database {database} is not that of the blocks in {self.blocks}: let PINNING_DATABASE_URL and "
                    "PINNING_DATA_DIR name two that belong together. If the database is lost, put its newest backup "
                    "back; `pinning-worker recover` then brings it up to date. No block is touched until then"
                )
