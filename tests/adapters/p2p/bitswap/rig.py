"""A node on loopback: a real host, a bitswap engine and blocks in memory; and what the tests say about budgets."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import trio
from libp2p.crypto.keys import KeyPair

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.adapters.p2p.bitswap.server import BlockSource
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, OpenHost, open_host
from pinning_worker.domain.content.cid import Cid, cid_of
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.content import Blocks, Budget, Fetched
from pinning_worker.ungroup import one_error
from tests.domain.dagpb import DAG_PB, RAW, node

TCP = "/ip4/127.0.0.1/tcp/0"
WS = "/ip4/127.0.0.1/tcp/0/ws"
MIB = 1024 * 1024
BUDGET = Budget(
    max_bytes=200 * MIB,
    max_blocks=10_000,
    max_depth=20,
    first_block_time=timedelta(seconds=30),
    idle_time=timedelta(seconds=30),
    fetch_time=timedelta(seconds=120),
)


@dataclass(slots=True)
class Node:
    host: OpenHost
    engine: Engine
    blocks: MemoryBlocks
    told: list[tuple[int, int]] = field(default_factory=list)

    @property
    def id(self) -> PeerId:
        return self.host.peer_id

    @property
    def address(self) -> str:
        return address_of(self.host, "tcp")

    @property
    def ws_address(self) -> str:
        return address_of(self.host, "ws")

    async def connect(self, other: "Node") -> None:
        await self.host.connect(other.address, 10)

    async def fetch(
        self,
        root: Cid,
        *peers: PeerId,
        origins: Sequence[str] = (),
        budget: Budget = BUDGET,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Fetched:
        async def progress(blocks: int, size: int) -> None:
            self.told.append((blocks, size))

        return await self.engine.fetch(
            root, peers=peers, origins=origins, budget=budget, progress=progress, is_over=is_over
        )


@asynccontextmanager
async def open_node(
    blocks: MemoryBlocks | None = None,
    *,
    source: BlockSource | None = None,
    key: KeyPair | None = None,
    listen: Sequence[str] = (TCP,),
    more: Mapping[str, Any] = {},
) -> AsyncIterator[Node]:
    store = MemoryBlocks() if blocks is None else blocks
    async with open_engine(store, source=source, key=key, listen=listen, more=more) as (host, engine):
        yield Node(host, engine, store)


@asynccontextmanager
async def open_engine(
    blocks: Blocks,
    *,
    source: BlockSource | None = None,
    key: KeyPair | None = None,
    listen: Sequence[str] = (TCP,),
    more: Mapping[str, Any] = {},
) -> AsyncIterator[tuple[OpenHost, Engine]]:
    """A host that listens on free ports of 127.0.0.1, and its running engine. `more` is of HostConfig."""
    async with open_host(HostConfig(key or new_key(), listen=tuple(listen), **more)) as host:
        engine = Engine(host, blocks, source=source)
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(engine.run)
                yield host, engine
                nursery.cancel_scope.cancel()


async def add(blocks: Blocks, codec: int, block: bytes) -> Cid:
    cid = cid_of(codec, block)
    await blocks.put(cid.multihash, block)
    return cid


async def add_file(blocks: Blocks, *chunks: bytes) -> Cid:
    """A file of raw leaves under one node."""
    return await add(blocks, DAG_PB, node(*[await add(blocks, RAW, chunk) for chunk in chunks]))


def chunks(count: int, size: int) -> list[bytes]:
    """Blocks of which no two are alike."""
    return [number.to_bytes(8, "big") + bytes(size - 8) for number in range(count)]


async def until(happened: Callable[[], bool], deadline: float = 20) -> None:
    """Waits for a thing that rings no bell, such as another peer's bookkeeping."""
    with trio.fail_after(deadline):
        while not happened():  # noqa: ASYNC110  there is no event to wait for
            await trio.sleep(0.01)


def address_of(host: OpenHost, over: str) -> str:
    """`over`: tcp or ws."""
    return next(address for address in host.addresses if ("/ws" in address) == (over == "ws"))
