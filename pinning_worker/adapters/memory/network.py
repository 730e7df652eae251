"""Twins of what the network does for the story: peers that hold DAGs, and a topic that hears what is said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import trio

from pinning_worker.domain.cid import Cid, UnsupportedCid
from pinning_worker.domain.dag import BadBlock, links
from pinning_worker.domain.messages import Message
from pinning_worker.ports import Blocks, Budget, DiskFull, Fetched, NoRoom, NotFound, OverBudget, Stalled, Unreadable


@dataclass(slots=True)
class MemoryAnnouncer:
    """`telling` hears each message the moment it is said."""

    said: list[Message] = field(default_factory=list)
    telling: Callable[[Message], Awaitable[None]] | None = None

    async def say(self, message: Message) -> None:
        message.encode()  # what cannot be encoded is a bug wherever it is said
        self.said.append(message)
        if self.telling is not None:
            await self.telling(message)
        await trio.lowlevel.checkpoint()


@dataclass(slots=True)
class MemoryFetcher:
    """`peers[name]` maps multihash to block; any connected peer may serve. `seconds_per_block` is how slow they are."""

    store: Blocks
    peers: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    seconds_per_block: float = 0.0
    fetches: list[Cid] = field(default_factory=list)

    async def fetch(
        self,
        root: Cid,
        *,
        peers: Sequence[str],
        origins: Sequence[str],
        budget: Budget,
        progress: Callable[[int, int], Awaitable[None]],
    ) -> Fetched:
        self.fetches.append(root)
        got: dict[bytes, int] = {}
        level = [root]
        for _ in range(budget.depth + 1):
            below: list[Cid] = []
            for cid in level:
                below += await self._take(cid, got, budget)
                await progress(len(got), sum(got.values()))
            if not below:
                return Fetched(got)
            level = list(dict.fromkeys(below))
        raise OverBudget(f"deeper than {budget.depth} links", got)

    async def _take(self, cid: Cid, got: dict[bytes, int], budget: Budget) -> Sequence[Cid]:
        await self.store.recall([cid.multihash])
        block = await self.store.get(cid.multihash)
        if block is None:
            block = await self._from_peers(cid, got, budget)
            await self._put(cid.multihash, block, got)
        got[cid.multihash] = len(block)
        if sum(got.values()) > budget.bytes or len(got) > budget.blocks:
            raise OverBudget(f"more than {budget.bytes} bytes or {budget.blocks} blocks", got)
        try:
            return links(cid.codec, block)
        except (BadBlock, UnsupportedCid) as error:
            raise Unreadable(str(error), got) from error

    async def _put(self, multihash: bytes, block: bytes, got: dict[bytes, int]) -> None:
        try:
            await self.store.put(multihash, block)
        except DiskFull as error:
            raise NoRoom(str(error), got) from error

    async def _from_peers(self, cid: Cid, got: dict[bytes, int], budget: Budget) -> bytes:
        await trio.sleep(self.seconds_per_block)
        for blocks in self.peers.values():
            if cid.multihash in blocks:
                return blocks[cid.multihash]
        if not got:
            await trio.sleep(budget.first_block_seconds)
            raise NotFound(f"no connected peer had block {cid} within {budget.first_block_seconds:.0f} s", got)
        await trio.sleep(budget.idle_seconds)
        raise Stalled(f"no peer gave block {cid} for {budget.idle_seconds:.0f} s", got)
