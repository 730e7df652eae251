"""Content: the blocks that are kept here, and the fetch of a DAG from peers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What was freed on one day and can still come back. `was_paid`: or nobody knows whether it was."""

    day: date
    was_paid: bool
    blocks: int
    bytes: int


class Blocks(Protocol):
    """Bytes by multihash. A put is whole or not there; it outlives a power cut only after `sync`.

    Nothing is deleted at once: `free` puts a block into quarantine, where it is not here for any other method, until
    `recall` brings it back or `purge` deletes it. A full disk deletes from quarantine first: of what was never paid,
    then the oldest.
    """

    found_broken: Callable[[Multihash], None]
    """Called with the multihash of a block that `get` read and found to be something else; `get` then returns None. On
    disk it has no size either, until it is put again."""

    async def put(self, multihash: Multihash, data: bytes) -> None:
        """Raises DiskFull. The caller has verified the hash. A block that was found broken is replaced."""

    async def get(self, multihash: Multihash) -> bytes | None:
        """Only bytes that hash to the name."""

    async def size(self, multihash: Multihash) -> int | None: ...

    async def sizes(self, multihashes: Sequence[Multihash]) -> dict[Multihash, int]:
        """Of those that are here."""

    async def sync(self, multihashes: Sequence[Multihash]) -> None:
        """After it, these blocks outlive a power cut."""

    async def audit(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """Reads each one back and hashes it: the set of those missing or not what their name says."""

    async def free(self, multihashes: Sequence[Multihash], day: date, *, was_paid: bool) -> None:
        """Into quarantine, under that day. Those not there are no error. What was never paid takes no more than a
        limit there: its oldest is deleted beyond it."""

    async def remember(self, multihashes: Sequence[Multihash], day: date) -> None:
        """A copy into quarantine, under that day and as paid for, of blocks that stay here: whoever holds them besides
        may let them go as never paid for."""

    async def recall(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """Out of quarantine, those that are in it and whole: they are returned. A copy stays until its day comes."""

    async def purge(self, before: date) -> None:
        """Deletes what was freed on an earlier day."""

    async def quarantined(self) -> Sequence[Quarantined]:
        """By day."""

    def all(self) -> AsyncGenerator[Sequence[Multihash], None]:
        """Every multihash there is, in pieces of bounded size. Close it (`aclosing`) when leaving early."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one fetch may cost. Seconds of clock time; `depth` counts links from the root."""

    bytes: int
    blocks: int
    depth: int
    first_block_seconds: float
    idle_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole DAG, walked: multihash and size of every unique block, in walk order."""

    blocks: dict[Multihash, int]

    @property
    def bytes(self) -> int:
        return sum(self.blocks.values())


class FetchFailed(Exception):
    """Why a DAG could not be had; the story answers it by its kind. `blocks`: those held so far."""

    def __init__(self, message: str, blocks: dict[Multihash, int] | None = None) -> None:
        super().__init__(message)
        self.blocks = blocks or {}


class NotFound(FetchFailed):
    """Nobody reachable gave the first block in time."""


class Stalled(FetchFailed):
    """Blocks came, then stopped."""


class OverBudget(FetchFailed):
    """Says which budget, and by how much."""


class NoRoom(FetchFailed):
    """The disk was full before all had come."""


class Unreadable(FetchFailed):
    """A codec or hash that we don't read, or a block that is not what its codec says."""


class Fetcher(Protocol):
    async def fetch(
        self,
        root: Cid,
        *,
        peers: Sequence[PeerId],
        origins: Sequence[str],
        budget: Budget,
        progress: Callable[[int, int], Awaitable[None]],
        is_over: Callable[[], bool] = lambda: False,
    ) -> Fetched:
        """The DAG under `root`, into the same Blocks that the story reads; what is there already is not asked for.

        `peers`: who asked, to be asked first; `origins`: multiaddrs as dial hints. `progress(blocks, bytes)` is
        awaited now and then. `is_over()` is asked every second: True ends the fetch as its deadline for the next block
        does. Raises a FetchFailed; what else Blocks raises passes through.
        """
