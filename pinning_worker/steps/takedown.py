"""Taking down: denied content is neither fetched, nor called kept, nor served, from the moment of the operator's word.

A denylist entry denies a block, whatever the codec of the requested CID. A root is *blocked* while it is denied itself
or holds a denied block: then none of its blocks is served, except those that an unblocked root holds too. The list is
the truth, and nothing about it is stored: a blocked pin stays as it was (paid, its term running, its blocks on the
shelf), and stands again when the list no longer names it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
import trio

from pinning_worker.domain.content.cid import Cid, Root, cid_from_bytes
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.ports.books import Books
from pinning_worker.ports.world import Trouble

log = structlog.get_logger()

LOOK_SECONDS = 15.0  # between two looks for a changed list
AGAIN_LOOKS = 240  # an unchanged list is applied again every hour, for roots that came or went


class Denylist(Protocol):
    """The operator's list, wherever it is stored."""

    def read(self) -> frozenset[Root]:
        """The `Cid.key` of each entry. Blocks. Raises ValueError, whose text names the fault."""

    def is_changed(self) -> bool:
        """Whether it has changed since the last read. Blocks."""


class TakeDown:
    """`denies`, `is_blocked` and `serves` are hot: they do no I/O."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._denied: frozenset[Multihash] = frozenset()
        self._blocked: frozenset[Root] = frozenset()
        self._withheld: frozenset[Multihash] = frozenset()
        self._bell = trio.Event()

    def denies(self, cid: Cid) -> bool:
        return cid.multihash in self._denied

    def is_blocked(self, root: Root) -> bool:
        """`root`: CIDv1 bytes."""
        return root in self._blocked or (bool(self._denied) and cid_from_bytes(root).multihash in self._denied)

    def serves(self, multihash: Multihash) -> bool:
        return multihash not in self._withheld

    def look_again(self) -> None:
        """The list may have changed: read it now."""
        self._bell.set()

    async def apply(self, keys: frozenset[Root]) -> bool:
        """Denies these `Cid.key`s and no others from now on. Returns whether that changed anything. Raises Trouble."""
        before = (self._denied, self._blocked)
        self._denied = frozenset(cid_from_bytes(key).multihash for key in keys)
        self._withheld |= self._denied  # at once; the other blocked blocks need a look into the books
        blocked = set[Root]().union(*(await self._books.holders(self._denied)).values())
        self._blocked = frozenset(blocked)
        self._withheld = self._denied | await self._held_by_nobody_else(blocked)
        return (self._denied, self._blocked) != before

    async def _held_by_nobody_else(self, blocked: set[Root]) -> frozenset[Multihash]:
        parts = {multihash for root in blocked for multihash in await self._books.held(root)}
        return frozenset(
            multihash for multihash, roots in (await self._books.holders(parts)).items() if roots <= blocked
        )

    async def run(self, denylist: Denylist, changed: Callable[[], Awaitable[None]]) -> None:
        """Applies each changed list, until cancelled. An unreadable list leaves the last one in force."""
        looks, untold = 0, False
        while True:
            self._bell = trio.Event()
            with trio.move_on_after(LOOK_SECONDS):
                await self._bell.wait()
            looks += 1
            try:
                if self._bell.is_set() or looks >= AGAIN_LOOKS or await trio.to_thread.run_sync(denylist.is_changed):
                    looks = 0
                    untold |= await self.apply(await trio.to_thread.run_sync(denylist.read))
                    if untold:
                        log.warning("denylist.applied", denied=len(self._denied), blocked_roots=len(self._blocked))
                        await changed()
                        untold = False
            except ValueError as error:
                log.error("denylist.not_read", reason=f"it {error}", in_force="the last one that could be read")
            except Trouble as trouble:
                log.error("denylist.put_off", reason=str(trouble))
                looks, untold = AGAIN_LOOKS, True  # the list may be half applied
