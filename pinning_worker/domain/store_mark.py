"""Whether books and blocks belong together: the decision, pure.

Both carry one mark: an id that is theirs alone, and how often a worker was started on the two. Books beside blocks
that are not their own would call every block an orphan, and free what others have paid for. So they are refused: books
that are new or empty beside blocks, those of another store, and those of an earlier day (a backup put back), which
know less than was paid. So are books whose blocks are gone: a disk that is not mounted.

The mark in the books is written first. Whoever is killed between the two leaves books that are one start ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Mark:
    id: str  # 32 hex digits
    starts: int


class Mismatch(Enum):
    """Why books and blocks are not opened together."""

    NEW = "the database is new, and the blocks are not"
    OTHER = "the database is not that of the blocks"
    OLDER = "the database is older than the blocks"
    LOST = "the database holds blocks, and there are none"


@dataclass(frozen=True, slots=True)
class Found:
    """`books_hold`: a root references a block. `has_blocks`: there is a block, in quarantine perhaps. `shared`: a block
    that is there is one that the books hold."""

    books: Mark | None
    blocks: Mark | None
    books_hold: bool
    has_blocks: bool
    shared: bool


def mismatch(found: Found) -> Mismatch | None:
    """None where they belong together, or nothing can be lost by joining them."""
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
    # Of an earlier version, which had no marks; or the mark of the blocks was lost.
    return None if found.shared and blocks is None else Mismatch.OTHER


def next_mark(found: Found, new_id: str) -> Mark:
    """What both carry from this start on."""
    known = [mark for mark in (found.blocks if found.has_blocks else None, found.books, found.blocks) if mark]
    if not known:
        return Mark(new_id, 1)
    return Mark(known[0].id, max(mark.starts for mark in known if mark.id == known[0].id) + 1)
