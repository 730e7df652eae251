"""The decision whether books and blocks belong together, pure.

Both carry one mark: an id of their own, and the number of starts on the two. Books beside other books' blocks would
call every block an orphan, and free paid blocks. So a start refuses books that are new or empty beside blocks, those of
another store, and those of an earlier day (a backup put back), which lack payments. It also refuses books whose blocks
are gone: a disk that is not mounted.

The mark in the books is written first. A kill between the two writes leaves books that are one start ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Mark:
    id: str  # 32 hex digits
    starts: int


class Mismatch(Enum):
    """The reasons not to open books and blocks together."""

    NEW = "the database is new, and the blocks are not"
    OTHER = "the database is not that of the blocks"
    OLDER = "the database is older than the blocks"
    LOST = "the database holds blocks, and there are none"


@dataclass(frozen=True, slots=True)
class Found:
    """`books_hold`: a root references a block. `has_blocks`: the folder has a block, perhaps in quarantine. `shared`:
    the folder has a block that the books hold."""

    books: Mark | None
    blocks: Mark | None
    books_hold: bool
    has_blocks: bool
    shared: bool


def mismatch(found: Found) -> Mismatch | None:
    """None if they belong together, or if joining them can lose nothing."""
    books, blocks = found.books, found.blocks
    if not found.books_hold and not found.has_blocks:
        return None
    if books is not None and blocks is not None:
        if books.id != blocks.id:
            return Mismatch.OTHER
        return Mismatch.OLDER if books.starts < blocks.starts else None
    if not found.has_blocks:
        return Mismatch.LOST if blocks is None else Mismatch.OTHER
    if not found.books_hold:
        return Mismatch.NEW
    # Books and blocks of an earlier version without marks; or the mark of the blocks was lost.
    return None if found.shared and blocks is None else Mismatch.OTHER


def next_mark(found: Found, new_id: str) -> Mark:
    """The mark of both from this start on."""
    known = [mark for mark in (found.blocks if found.has_blocks else None, found.books, found.blocks) if mark]
    if not known:
        return Mark(new_id, 1)
    return Mark(known[0].id, max(mark.starts for mark in known if mark.id == known[0].id) + 1)
