"""The past of the name index as a story: it comes newest first, in whatever pieces, over stops, faults and reorgs.

Under `autojump_clock` waiting costs nothing: what would take days is over at once, in the same order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from pinning_worker import backfill
from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.adapters.memory.clock import MemoryClock
from pinning_worker.adapters.memory.name_index import MemoryNameIndex
from pinning_worker.adapters.memory.network import MemoryAnnouncer
from pinning_worker.backfill import Backfill
from pinning_worker.catalogue import Catalogue
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.payment import Sighting
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.ports.chain import BlockOfNames
from pinning_worker.ports.names import IndexedBlock
from pinning_worker.ports.world import Trouble

NETWORK = replace(DOICHAIN_REGTEST, name_life=5)


@dataclass(slots=True)
class BumpyPast(MemoryChain):
    """The twin, with what servers do: no answer some times; or a bug of ours; or nothing until a gate opens."""

    troubles: list[Exception] = field(default_factory=list)
    asked: list[tuple[int, float]] = field(default_factory=list)
    gate: trio.Event | None = None
    takes: timedelta = timedelta(0)

    async def names_below(self, height: int, block_hash: str) -> Sequence[BlockOfNames]:
        self.asked.append((height, trio.current_time()))
        found = await MemoryChain.names_below(self, height, block_hash)
        await trio.sleep(self.takes.total_seconds())
        if self.gate is not None:
            await self.gate.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        return found


@dataclass(slots=True)
class FullDisk(MemoryNameIndex):
    troubles: int = 0

    async def add_below(self, height: int, hash: str, blocks: Sequence[IndexedBlock]) -> bool:
        if self.troubles:
            self.troubles -= 1
            raise Trouble("the disk is full")
        return await MemoryNameIndex.add_below(self, height, hash, blocks)


@dataclass(slots=True)
class World:
    """A chain that has had a past before the worker was first started."""

    clock: MemoryClock = field(default_factory=MemoryClock)
    index: FullDisk = field(default_factory=FullDisk)
    chain: BumpyPast = field(init=False)
    catalogue: Catalogue = field(init=False)

    def __post_init__(self) -> None:
        self.chain = BumpyPast(self.clock)

    async def mine(self, *names: str) -> None:
        """One block for each name."""
        for name in names:
            await self.mine_one_block(name)

    async def mine_one_block(self, *names: str) -> None:
        for name in names:
            await self.chain.broadcast(Sighting(Txid(f"tx of {name}"), NameBytes(name.encode()), b"", (), None))
        await self.chain.mine()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A start, and a stop at the end: new stories on the same index, as after a restart."""
        self.catalogue = Catalogue(NETWORK, self.clock, self.chain, self.index, MemoryAnnouncer())
        past = Backfill(NETWORK, self.clock, self.chain, self.chain, self.index, self.catalogue.note_change)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.catalogue.run)
            nursery.start_soon(past.run)
            await wait_all_tasks_blocked()
            yield
            nursery.cancel_scope.cancel()

    async def listed(self) -> list[str]:
        return [row.name.decode() for row in await self.index.find(NameFilter.ALL, None, 0, 1_000)]


def named(*heights: int) -> list[str]:
    return [f"n{height}" for height in heights]


async def test_the_past_comes_newest_first_down_to_the_first_block(autojump_clock: MockClock) -> None:
    world = World()
    await world.mine(*named(*range(1, 21)))
    with capture_logs() as logs:
        async with world.running():
            await trio.sleep(60)
            assert await world.listed() == named(*range(20, 0, -1))
    asked = [height for height, _ in world.chain.asked]
    assert asked == sorted(asked, reverse=True)
    assert asked[0] == 20
    told = {line["event"]: line for line in logs if line["event"].startswith("names.")}
    assert told["names.living_indexed"]["reaches_back_to"] == 14, "the first answer that reaches 15, 5 below the tip"
    assert told["names.completed"]["reaches_back_to"] == 1
    assert (told["names.past_indexed"]["blocks_left"], told["names.past_indexed"]["reaches_back_to"]) == (16, 17)


async def test_once_it_is_complete_nothing_more_is_asked(autojump_clock: MockClock) -> None:
    world = World()
    await world.mine(*named(1, 2, 3))
    for _ in range(3):
        async with world.running():
            await trio.sleep(600)
            await world.mine("new")
            await trio.sleep(60)
    assert [height for height, _ in world.chain.asked] == [3]
    assert await world.listed() == ["new", "new", "new", *named(3, 2, 1)]


async def test_a_stop_at_any_moment_costs_nothing_that_is_stored(autojump_clock: MockClock) -> None:
    world = World()
    world.chain.past_at_once = 1
    await world.mine(*named(*range(1, 11)))
    while await world.index.lowest() != (1, await hash_of(world, 1)):
        before = await world.index.lowest()
        async with world.running():
            if before is not None:
                assert world.chain.asked[-1][0] <= before[0], "it goes on below what it has"
            world.chain.gate = trio.Event()  # the next answer never comes
            await trio.sleep(20)
        world.chain.gate = None
    assert await world.listed() == named(*range(10, 0, -1))


async def hash_of(world: World, height: int) -> str:
    block = await world.chain.name_ops(height)
    assert block is not None
    return block.hash


async def test_any_error_is_tried_again(autojump_clock: MockClock) -> None:
    world = World()
    await world.mine(*named(*range(1, 11)))
    world.chain.troubles = [Trouble("no server"), ValueError("a bug of ours"), Trouble("no server")]
    world.index.troubles = 2
    with capture_logs() as logs:
        async with world.running():
            await trio.sleep(600)
            assert await world.listed() == named(*range(10, 0, -1))
    times = [time for height, time in world.chain.asked if height == 10]
    assert [later - earlier for earlier, later in pairwise(times)] == [1, 2, 4, 8, 16]
    events = [line["event"] for line in logs]
    assert (events.count("names.past_put_off"), events.count("names.crashed")) == (5, 1)


async def test_blocks_full_of_names_are_written_one_after_the_other(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The books have one writer: a payment waits for each write."""
    monkeypatch.setattr(backfill, "MOST_ROWS", 4)
    world = World()
    world.chain.past_at_once = 10
    for height, count in enumerate((1, 9, 2, 2, 1, 0, 3, 0), start=1):
        await world.mine_one_block(*(f"n{height}/{number}" for number in range(count)))
    written: list[list[int]] = []
    store = world.index.add_below

    async def noted(height: int, hash: str, blocks: Sequence[IndexedBlock]) -> bool:
        written.append([block.height for block in blocks])
        return await store(height, hash, blocks)

    monkeypatch.setattr(FullDisk, "add_below", lambda _self, *asked: noted(*asked))
    async with world.running():
        await trio.sleep(60)
    assert written == [[7, 6, 5], [4, 3], [2], [1]]
    await require_no_gap(world)


async def test_a_past_that_does_not_come_delays_no_new_block(autojump_clock: MockClock) -> None:
    world = World()
    await world.mine(*named(1, 2, 3))
    world.chain.gate = trio.Event()
    async with world.running():
        await trio.sleep(20)
        assert [height for height, _ in world.chain.asked] == [3]
        await world.mine("new")
        world.catalogue.ring()
        await wait_all_tasks_blocked()
        assert await world.listed() == ["new", "n3"]
        world.chain.gate.set()
        await wait_all_tasks_blocked()
        assert await world.listed() == ["new", *named(3, 2, 1)]


async def test_a_reorg_while_the_past_is_read_leaves_no_orphan_and_no_gap(autojump_clock: MockClock) -> None:
    """It goes deeper than the first start, and what was read below the old block is not stored below the new one."""
    world = World()
    await world.mine(*named(*range(1, 11)))
    world.chain.gate = trio.Event()
    async with world.running():
        await trio.sleep(20)
        assert [height for height, _ in world.chain.asked] == [10], "what lies below the old 10 is on its way"
        await world.chain.reorg(4, drop=[f"tx of n{height}" for height in range(7, 11)])
        world.catalogue.ring()
        await wait_all_tasks_blocked()
        world.chain.gate.set()
        await trio.sleep(60)
        await world.mine("after")
        await trio.sleep(60)
        assert await world.listed() == ["after", *named(*range(6, 0, -1))]
        await require_no_gap(world)


async def require_no_gap(world: World) -> None:
    """Every block from the first to the tip is the chain's own."""
    tip = await world.chain.tip()
    assert tip is not None
    assert await world.index.next_height() == tip.height + 1
    for height in range(1, tip.height + 1):
        assert await world.index.hash_at(height) == await hash_of(world, height)


async def test_progress_is_told_once_an_hour(autojump_clock: MockClock) -> None:
    world = World()
    world.chain.past_at_once, world.chain.takes = 1, timedelta(minutes=25)
    await world.mine(*named(*range(1, 11)))
    with capture_logs() as logs:
        async with world.running():
            await trio.sleep(86_400)
    told = [line["reaches_back_to"] for line in logs if line["event"] == "names.past_indexed"]
    assert told == [9, 6, 3], "one is told every 75 minutes, the first at once"


@settings(max_examples=60, deadline=None)
@given(
    blocks=st.integers(1, 15),
    at_once=st.integers(1, 4),
    acts=st.lists(st.sampled_from(["stop", "mine", "trouble", "full", "reorg", "wait"]), max_size=12),
    depths=st.lists(st.integers(1, 4), min_size=12, max_size=12),
)
def test_after_any_history_the_index_is_the_chain(
    blocks: int, at_once: int, acts: list[str], depths: list[int]
) -> None:
    async def live() -> None:
        world = World()
        world.chain.past_at_once = at_once
        await world.mine(*named(*range(1, blocks + 1)))
        todo = iter(zip(acts, depths, strict=False))
        running = True
        while running:
            running = False
            async with world.running():
                for act, depth in todo:
                    match act:
                        case "stop":
                            running = True
                            break
                        case "mine":
                            await world.mine(f"later {depth}")
                        case "trouble":
                            world.chain.troubles += [Trouble("no server")] * depth
                        case "full":
                            world.index.troubles += depth
                        case "reorg":
                            tip = await world.chain.tip()
                            assert tip is not None
                            await world.chain.reorg(min(depth, tip.height))
                        case _:
                            await trio.sleep(5)
                if not running:
                    await trio.sleep(10_000)
                    await require_no_gap(world)
                    tip = await world.chain.tip()
                    assert tip is not None
                    true = [
                        [at.op.name for at in block.ops]
                        for height in range(tip.height, 0, -1)
                        if (block := await world.chain.name_ops(height)) is not None
                    ]
                    listed = [name.encode() for name in await world.listed()]
                    assert sorted(listed) == sorted(name for names in true for name in names if name is not None)

    trio.run(live, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("height", [0, 1])
async def test_a_first_start_at_the_very_beginning_has_no_past(height: int, autojump_clock: MockClock) -> None:
    world = World()
    await world.mine(*named(*range(1, height + 1)))
    async with world.running():
        await trio.sleep(60)
    assert world.chain.asked == []
