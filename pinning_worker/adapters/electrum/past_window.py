"""Which blocks of the past are linked, which are being read, and which are ready to be handed on. No I/O.

    top        the known block; everything here lies below it
    linked     headers, each the parent of the one above it, down from the top without a gap
    taken      heights that a server is reading, and since when
    read       blocks whose names are known; in order from the top they are ready

A server that claims huge blocks, or dawdles, holds nobody up: after OVERDUE_SECONDS others read the same blocks.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from pinning_worker.domain.chain.ancestors import FIRST_BLOCK
from pinning_worker.domain.chain.headers import Header
from pinning_worker.ports.chain import NameOpAt

WIDEST = 1_000  # blocks that are linked and not handed on
OVERDUE_SECONDS = 120.0  # a piece takes a few
MOST_OPS = 20_000  # NameOps that wait for a block above theirs; the blocks next in order are read in any case


class PastWindow:
    """The blocks below one known block, while servers read them piece by piece, in any order."""

    def __init__(self, height: int, block_hash: str) -> None:
        self.top = (height, block_hash)
        self._linked: dict[int, Header] = {}
        self._taken: dict[int, float] = {}
        self._read: dict[int, tuple[NameOpAt, ...]] = {}

    @property
    def lowest(self) -> tuple[int, str]:
        """The lowest block whose hash is known: that of the top, or of the lowest linked header."""
        height = self.top[0] - len(self._linked)
        return (height, self._linked[height].block_hash) if self._linked else self.top

    @property
    def is_wide(self) -> bool:
        """Whether no more headers are needed for now."""
        return len(self._linked) >= WIDEST or self.lowest[0] <= FIRST_BLOCK

    @property
    def is_done(self) -> bool:
        return self.top[0] <= FIRST_BLOCK

    def link(self, height: int, headers: Sequence[Header]) -> None:
        """Adds the headers below the lowest block, the lowest header first; `height` was that of the lowest block. They
        are left if others were faster."""
        if height == self.lowest[0]:
            self._linked |= dict(zip(range(height - len(headers), height), headers, strict=True))

    def move_down(self, height: int, block_hash: str) -> bool:
        """Makes a linked block the top, after it and those above it were handed on. False if it is not linked."""
        header = self._linked.get(height)
        if header is None or header.block_hash != block_hash:
            return (height, block_hash) == self.top
        for above in range(height, self.top[0]):
            del self._linked[above]
            self._read.pop(above, None)
        self.top = (height, block_hash)
        return True

    def take(self, most: int, now: float) -> dict[int, Header]:
        """The highest blocks that nobody reads or has read, at most so many; they count as taken from `now` on."""
        return self._taken_at(now, islice(self._unread(self._taken), most))

    def take_over(self, most: int, now: float) -> dict[int, Header]:
        """The highest blocks that somebody has been reading for too long: whoever is done first is taken."""
        in_time = {height for height, since in self._taken.items() if now - since < OVERDUE_SECONDS}
        return self._taken_at(now, islice(self._unread(in_time), most))

    def put_back(self, heights: Iterable[int]) -> None:
        for height in heights:
            self._taken.pop(height, None)

    def store(self, found: Mapping[int, tuple[NameOpAt, ...]]) -> None:
        """The names of taken blocks. A block that was handed on meanwhile is left."""
        self.put_back(found)
        self._read |= {height: ops for height, ops in found.items() if height in self._linked}

    def ready(self) -> Iterator[tuple[int, Header, tuple[NameOpAt, ...]]]:
        """The read blocks from the top down, without a gap."""
        height = self.top[0] - 1
        while height in self._read:
            yield height, self._linked[height], self._read[height]
            height -= 1

    def _taken_at(self, now: float, blocks: Iterable[tuple[int, Header]]) -> dict[int, Header]:
        taken = dict(blocks)
        self._taken |= dict.fromkeys(taken, now)
        return taken

    def _unread(self, spared: Container[int]) -> Iterator[tuple[int, Header]]:
        """Blocks that are not read, from the top down, without those that are spared."""
        is_full = sum(map(len, self._read.values())) > MOST_OPS
        for height in range(self.top[0] - 1, self.lowest[0] - 1, -1):
            if height not in self._read and height not in spared:
                yield height, self._linked[height]
            if is_full and height not in self._read:
                return
