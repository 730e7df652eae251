"""Gathering a closure: the DAG of the requested CID, and the images that its metadata.json names.

One quote covers the whole closure, so one budget bounds its fetch: the metadata's blocks reduce what is left for the
images. Links that are not on IPFS (`https:`, `ipfs://undefined`, a codec we don't read) are reported, never fatal. An
image on IPFS that no peer has is fatal: half a closure is neither measured nor sold. So is a part that the operator
denies, or that holds a denied block: it is not kept as part of something else either.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from pinning_worker.domain.content.cid import RAW, Cid, Root, UnsupportedCid
from pinning_worker.domain.content.dag import BadBlock, MissingBlock, NotAFile, TooLong, look_up, reading
from pinning_worker.domain.content.metadata import MOST_BYTES, Metadata, parse_metadata
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.content import Blocks, Budget, Fetcher, FetchFailed, NotFound, OverBudget, Stalled
from pinning_worker.ports.world import Clock

LEAST_TIME = timedelta(seconds=1)  # for the images, however long their document took
Progress = Callable[[int, int], Awaitable[None]]


class DeniedPart(FetchFailed):
    """The closure names or holds something on the operator's denylist."""


@dataclass(frozen=True, slots=True)
class Closure:
    """A closure that is wholly on disk. `blocks`: size of every unique block by multihash."""

    blocks: dict[Multihash, int]
    sizes: Sizes
    references: tuple[Root, ...]
    foreign: tuple[str, ...]
    file_name: str
    has_images: bool  # a metadata document with `images`; False also for any other content


@dataclass(slots=True)
class Gathering:
    """The fetch of one closure. `blocks` has all that came so far, also when `run` raises. A second `run` begins anew,
    with the blocks that are here by then. The fetch calls `is_over` now and then; True ends it like its deadline."""

    root: Cid
    fetcher: Fetcher
    store: Blocks
    clock: Clock
    budget: Budget
    progress: Progress
    peers: Sequence[PeerId] = ()
    origins: Sequence[str] = ()
    denied: Callable[[Cid], bool] = lambda cid: False
    is_over: Callable[[], bool] = lambda: False
    blocks: dict[Multihash, int] = field(default_factory=dict)
    count: int = 0  # blocks and bytes so far, for FETCHING-CID
    size: int = 0
    _found: dict[Multihash, int] = field(default_factory=dict)  # in this run

    async def run(self) -> Closure:
        """Fetches the closure. Raises FetchFailed (with all blocks of the closure held so far)."""
        started, self._found = self.clock.now(), {}
        await self._take(self.root, self.budget)
        own = sum(self._found.values())
        document = await self._document()
        for image in document.images if document else ():
            spent = (self.clock.now() - started).total_seconds()
            await self._take(image.cid, self._left(spent))
        total = sum(self._found.values())
        return Closure(
            blocks=self._found,
            sizes=Sizes(own, total - own, total),
            references=tuple(dict.fromkeys(image.cid.key for image in document.images)) if document else (),
            foreign=document.foreign if document else (),
            file_name=document.name if document else "",
            has_images=document is not None and document.has_images,
        )

    async def _take(self, cid: Cid, budget: Budget) -> None:
        before_blocks, before_bytes = len(self._found), sum(self._found.values())

        async def on_progress(blocks: int, size: int) -> None:
            self.count, self.size = before_blocks + blocks, before_bytes + size
            await self.progress(self.count, self.size)

        if self.denied(cid):
            raise self._denied_part()
        try:
            fetched = await self.fetcher.fetch(
                cid,
                peers=self.peers,
                origins=self.origins,
                budget=budget,
                progress=on_progress,
                is_over=self.is_over,
            )
        except FetchFailed as failure:
            self.blocks.update(failure.blocks)
            failure.blocks = self.blocks
            if isinstance(failure, OverBudget):
                raise self._over(failure, before_blocks, before_bytes) from failure
            if isinstance(failure, NotFound) and self.is_over() and self.blocks:  # an image: its document is here
                raise Stalled(str(failure), self.blocks) from failure
            raise
        self.blocks.update(fetched.blocks)
        self._found.update(fetched.blocks)
        self.require_allowed(fetched.blocks)

    def require_allowed(self, blocks: Iterable[Multihash]) -> None:
        """Raises DeniedPart if one of these blocks, by their multihashes, is denied."""
        if any(self.denied(Cid(1, RAW, multihash)) for multihash in blocks):
            raise self._denied_part()

    def _denied_part(self) -> DeniedPart:
        return DeniedPart("it names or holds what this operator does not keep", self.blocks)

    def _over(self, part: OverBudget, before_blocks: int, before_bytes: int) -> OverBudget:
        """The excess of one part, told by the budget of the whole closure."""
        before = {"bytes": before_bytes, "blocks": before_blocks, "depth": 0}[part.limited]
        return OverBudget(part.limited, self.budget.limit(part.limited), before + part.got, self.blocks)

    def _left(self, seconds: float) -> Budget:
        """The rest of the closure's budget. Raises OverBudget when none is left."""
        budget = self.budget
        blocks, size = budget.max_blocks - len(self._found), budget.max_bytes - sum(self._found.values())
        if size <= 0:
            raise OverBudget("bytes", budget.max_bytes, budget.max_bytes - size + 1, self.blocks)
        if blocks <= 0:
            raise OverBudget("blocks", budget.max_blocks, budget.max_blocks - blocks + 1, self.blocks)
        left = max(budget.fetch_time - timedelta(seconds=seconds), LEAST_TIME)
        return replace(budget, max_blocks=blocks, max_bytes=size, fetch_time=left)

    async def _document(self) -> Metadata | None:
        """The requested CID read as metadata.json; None for anything else (image, page, folder)."""
        if sum(self._found.values()) > 2 * MOST_BYTES:
            return None
        held = {multihash: await self.store.get(multihash) for multihash in self._found}
        try:
            text = look_up(reading(self.root, MOST_BYTES), lambda cid: held.get(cid.multihash))
        except (BadBlock, NotAFile, TooLong, MissingBlock, UnsupportedCid):
            return None
        return parse_metadata(text)
