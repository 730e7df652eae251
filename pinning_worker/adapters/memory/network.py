"""Twins of the network: a fetcher with peers that hold DAGs, and an announcer that records its messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import trio

from pinning_worker.domain.content.cid import Cid, UnsupportedCid
from pinning_worker.domain.content.dag import BadBlock, declared_bytes, links
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.topic.messages import Message
from pinning_worker.ports.content import Blocks, Budget, Fetched, NoRoom, NotFound, OverBudget, Stalled, Unreadable
from pinning_worker.ports.world import DiskFull


@dataclass(slots=True)
class MemoryAnnouncer:
    """`telling` is called with each message at once."""

    said: list[Message] = field(default_factory=list)
    telling: Callable[[Message], Awaitable[None]] | None = None

    async def say(self, message: Message) -> None:
        message.encode()  # a message that cannot be encoded is a bug, with any announcer
        self.said.append(message)
        if self.telling is not None:
            await self.telling(message)
        await trio.lowlevel.checkpoint()


@dataclass(slots=True)
class MemoryFetcher:
    """`peers[name]` maps multihash to block; any connected peer may serve. `seconds_per_block` is their speed."""

    store: Blocks
    peers: dict[str, dict[Multihash, bytes]] = field(default_factory=dict)
    seconds_per_block: float = 0.0
    fetches: list[Cid] = field(default_factory=list)

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
        self.fetches.append(root)
        got: dict[Multihash, int] = {}
        level = [root]
        for _ in range(budget.max_depth + 1):
            below: list[Cid] = []
            for cid in level:
                below += await self._take(cid, got, budget, is_over)
                await progress(len(got), sum(got.values()))
            if not below:
                return Fetched(got)
            level = list(dict.fromkeys(below))
        raise OverBudget("depth", budget.max_depth, budget.max_depth + 1, got)

    async def _take(
        self, cid: Cid, got: dict[Multihash, int], budget: Budget, is_over: Callable[[], bool]
    ) -> Sequence[Cid]:
        await self.store.recall([cid.multihash])
        block = await self.store.get(cid.multihash)
        if block is None:
            block = await self._from_peers(cid, got, budget, is_over)
            await self._put(cid.multihash, block, got)
        got[cid.multihash] = len(block)
        try:
            declared = declared_bytes(cid.codec, block) if len(got) == 1 else 0  # the root's: the real one believes it
            if (size := max(declared, sum(got.values()))) > budget.max_bytes:
                raise OverBudget("bytes", budget.max_bytes, size, got)
            if len(got) > budget.max_blocks:
                raise OverBudget("blocks", budget.max_blocks, len(got), got)
            return links(cid.codec, block)
        except (BadBlock, UnsupportedCid) as error:
            raise Unreadable(str(error), got) from error

    async def _put(self, multihash: Multihash, block: bytes, got: dict[Multihash, int]) -> None:
        try:
            await self.store.put(multihash, block)
        except DiskFull as error:
            raise NoRoom(str(error), got) from error

    async def _from_peers(
        self, cid: Cid, got: dict[Multihash, int], budget: Budget, is_over: Callable[[], bool]
    ) -> bytes:
        holder = next((blocks for blocks in self.peers.values() if cid.multihash in blocks), None)
        limit = (budget.idle_time if got else budget.first_block_time).total_seconds()
        waited = await _wait(self.seconds_per_block if holder is not None else limit, is_over)
        if holder is not None and not is_over():
            return holder[cid.multihash]
        if not got:
            raise NotFound(f"no connected peer had block {cid} within {waited:.0f} s", got)
        raise Stalled(f"no peer gave block {cid} for {waited:.0f} s", got)


async def _wait(seconds: float, is_over: Callable[[], bool]) -> float:
    """Returns how long it waited, in seconds."""
    began = trio.current_time()
    while (left := began + seconds - trio.current_time()) > 0 and not is_over():  # noqa: ASYNC110  the port says: asked every second
        await trio.sleep(min(left, 1.0))
    return trio.current_time() - began
