"""Content: the blocks on disk, and the fetch of a DAG from peers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, Protocol

from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The blocks freed on one day that can still come back. `was_paid`: paid for, or perhaps so."""

    day: date
    was_paid: bool
    blocks: int
    bytes: int


class Blocks(Protocol):
    """Bytes by multihash. A put is atomic; it outlives a power cut only after `sync`.

    Nothing is deleted at once: `free` moves a block into quarantine, where no other method sees it, until `recall`
    brings it back or `purge` deletes it. A full disk deletes from quarantine first: blocks that were never paid for,
    then the oldest.
    """

    found_broken: Callable[[Multihash], None]
    """`get` calls this with the multihash of a block whose bytes do not match it, and returns None. The store on disk
    also leaves the block out of `sizes` until it is put again."""

    async def put(self, multihash: Multihash, data: bytes) -> None:
        """Stores a block whose hash the caller has verified. Replaces one that was found broken. Raises DiskFull."""

    async def get(self, multihash: Multihash) -> bytes | None:
        """The block's bytes, only if they hash to the name."""

    async def size(self, multihash: Multihash) -> int | None: ...

    async def sizes(self, multihashes: Sequence[Multihash]) -> dict[Multihash, int]:
        """The sizes of the given blocks that are here."""

    async def sync(self, multihashes: Sequence[Multihash]) -> None:
        """Makes these blocks outlive a power cut."""

    async def audit(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """Reads each block back and hashes it. Returns the missing and the broken ones."""

    async def free(self, multihashes: Sequence[Multihash], day: date, *, was_paid: bool) -> None:
        """Moves blocks into quarantine, under that day. A missing block is no error. Unpaid blocks have a limit there:
        beyond it the oldest are deleted."""

    async def remember(self, multihashes: Sequence[Multihash], day: date) -> None:
        """Copies blocks that stay here into quarantine, under that day and as paid for: another holder may later free
        them as never paid for."""

    async def recall(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """Brings whole blocks back from quarantine, and returns their names. A copy stays there until its day comes."""

    async def purge(self, before: date) -> None:
        """Deletes the blocks that were freed before that day."""

    async def quarantined(self) -> Sequence[Quarantined]:
        """The contents of the quarantine, by day."""

    def all(self) -> AsyncGenerator[Sequence[Multihash], None]:
        """Every multihash on disk, in pieces of bounded size. Close it (`aclosing`) when leaving early."""


Limited = Literal["bytes", "blocks", "depth"]


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one fetch. `max_depth` counts links from the root; `fetch_time` is for the whole fetch."""

    max_bytes: int
    max_blocks: int
    max_depth: int
    first_block_time: timedelta
    idle_time: timedelta
    fetch_time: timedelta

    def limit(self, limited: Limited) -> int:
        return {"bytes": self.max_bytes, "blocks": self.max_blocks, "depth": self.max_depth}[limited]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole DAG, walked: multihash and size of every unique block, in walk order."""

    blocks: dict[Multihash, int]

    @property
    def bytes(self) -> int:
        return sum(self.blocks.values())


class FetchFailed(Exception):
    """A DAG could not be fetched; the story answers by the kind of failure. `blocks`: all that came so far."""

    def __init__(self, message: str, blocks: dict[Multihash, int] | None = None) -> None:
        super().__init__(message)
        self.blocks = blocks or {}


class NotFound(FetchFailed):
    """No reachable peer sent the first block in time."""


class Stalled(FetchFailed):
    """Blocks came, then stopped."""


class OverBudget(FetchFailed):
    """The DAG exceeds a budget. The text says which, and by how much. `got`: how many there are, at least."""

    def __init__(self, limited: Limited, limit: int, got: int, blocks: dict[Multihash, int] | None = None) -> None:
        super().__init__(f"over the limit of {limit} {limited}: at least {got}, {got - limit} too many", blocks)
        self.limited: Limited = limited
        self.got = got

    def by(self, budget: Budget) -> OverBudget | None:
        """This excess, told by another budget; None: the DAG may fit that one."""
        limit = budget.limit(self.limited)
        return OverBudget(self.limited, limit, self.got, self.blocks) if self.got > limit else None


class NoRoom(FetchFailed):
    """The disk was full before all blocks had come."""


class Unreadable(FetchFailed):
    """A codec or hash that we don't read, or a block that does not match its codec."""


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
        """Fetches the DAG under `root` into the same Blocks that the story reads, without the blocks already there.

        `peers`: the askers, who are tried first; `origins`: multiaddrs as dial hints. The fetch awaits
        `progress(blocks, bytes)` now and then, and calls `is_over()` every second: True ends the fetch like the
        deadline for the next block. Raises a FetchFailed; other errors of Blocks pass through.
        """
