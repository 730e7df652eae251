"""The neighbours of the story: the terms, and every port that a chapter may need. Declared once, for all chapters.

A chapter names the other chapters that it uses, and reaches the neighbours as `self.books`, `self.clock` and so on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pinning_worker.domain.content.cid import Root
from pinning_worker.ports.books import Books, Receipts, SignedReceipts
from pinning_worker.ports.chain import Chain
from pinning_worker.ports.content import Blocks, Fetcher
from pinning_worker.ports.world import Announcer, Clock, CrashNotes, Signer
from pinning_worker.steps.shelf import NoRelease, Release
from pinning_worker.steps.terms import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    terms: Terms
    clock: Clock
    books: Books
    blocks: Blocks
    receipts: Receipts
    signed_receipts: SignedReceipts
    signer: Signer
    fetcher: Fetcher
    announcer: Announcer
    chain: Chain
    new_id: Callable[[], str]
    crash_notes: CrashNotes
    note_metadata: Callable[[Root, bool], Awaitable[None]] | None = None
    release: Release = field(default_factory=NoRelease)


@dataclass(slots=True)
class Chapter:
    """One part of the story of a pin, beside the neighbours that all parts share."""

    near: Neighbours

    @property
    def terms(self) -> Terms:
        return self.near.terms

    @property
    def clock(self) -> Clock:
        return self.near.clock

    @property
    def books(self) -> Books:
        return self.near.books

    @property
    def blocks(self) -> Blocks:
        return self.near.blocks

    @property
    def announcer(self) -> Announcer:
        return self.near.announcer

    @property
    def chain(self) -> Chain:
        return self.near.chain
