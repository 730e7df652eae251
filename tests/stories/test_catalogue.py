"""The name index as a story: blocks come, go, fail and are replaced; LIST gets one true answer each time.

Under `autojump_clock` waiting costs nothing: what would take minutes is over at once, in the same order.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.adapters.memory.clock import START, MemoryClock
from pinning_worker.adapters.memory.name_index import MemoryNameIndex
from pinning_worker.adapters.memory.network import MemoryAnnouncer
from pinning_worker.catalogue import MOST_SHARED, Catalogue, name_rows
from pinning_worker.domain.chain.address import address_to_script
from pinning_worker.domain.chain.nameop import NameOp, NameOpCode
from pinning_worker.domain.chain.networks import NETWORKS
from pinning_worker.domain.content.cid import RAW, Root, cid_of
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.payment import Sighting, Tip
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.messages import NameOps
from pinning_worker.domain.topic.name_row import KeptMedia, NameRow
from pinning_worker.domain.topic.requests import ListRequest, parse
from pinning_worker.ports.chain import BlockOfNames, NameOpAt
from pinning_worker.ports.names import IndexedBlock
from pinning_worker.ports.world import Trouble

NETWORK = NETWORKS["doichain-regtest"]
ADDRESS = "ncrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq8w7hxl"


@dataclass(slots=True)
class BumpyChain(MemoryChain):
    """The twin, with what servers do: no answer some times, an answer for another block, a header download half way."""

    troubles: int = 0
    asked: list[tuple[int, float]] = field(default_factory=list)
    shown_tip: Tip | None = None  # instead of the true one
    other: BlockOfNames | None = None

    async def tip(self) -> Tip | None:
        return self.shown_tip or await MemoryChain.tip(self)

    async def has_block(self, height: int, block_hash: str) -> bool:
        beyond = self.shown_tip is not None and height > self.shown_tip.height
        return not beyond and await MemoryChain.has_block(self, height, block_hash)

    async def name_ops(self, height: int) -> BlockOfNames | None:
        self.asked.append((height, trio.current_time()))
        if self.troubles:
            self.troubles -= 1
            raise Trouble("no server answers")
        return self.other or await MemoryChain.name_ops(self, height)


@dataclass(slots=True)
class CountedIndex(MemoryNameIndex):
    looks: int = 0
    broken: bool = False
    gates: dict[int, trio.Event] = field(default_factory=dict)  # by the offset that is asked for

    async def find(self, wanted: NameFilter, times: range | None, offset: int, limit: int) -> Sequence[NameRow]:
        self.looks += 1
        if self.broken:
            raise Trouble("the disk is away")
        found = await MemoryNameIndex.find(self, wanted, times, offset, limit)
        if offset in self.gates:
            await self.gates[offset].wait()
        return found


@dataclass(slots=True)
class World:
    clock: MemoryClock = field(default_factory=MemoryClock)
    index: CountedIndex = field(default_factory=CountedIndex)
    topic: MemoryAnnouncer = field(default_factory=MemoryAnnouncer)
    chain: BumpyChain = field(init=False)
    catalogue: Catalogue = field(init=False)

    def __post_init__(self) -> None:
        self.chain = BumpyChain(self.clock)
        self.catalogue = self.new_catalogue()

    def new_catalogue(self) -> Catalogue:
        return Catalogue(NETWORK, self.clock, self.chain, self.index, self.topic)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A start, and a stop at the end: a new catalogue on the same index, as after a restart."""
        self.catalogue = self.new_catalogue()
        async with trio.open_nursery() as nursery:
            await nursery.start(self.catalogue.run)
            await self.settled()
            yield
            nursery.cancel_scope.cancel()

    async def settled(self) -> None:
        self.catalogue.ring()
        await wait_all_tasks_blocked()

    async def mine(self, *names: str, value: bytes = b"") -> None:
        for name in names:
            await self.chain.broadcast(Sighting(Txid(f"tx of {name}"), NameBytes(name.encode()), value, (), None))
        await self.chain.mine()
        await self.settled()

    async def list(self, **fields: object) -> list[str] | str:
        """The names in the one answer to a LIST, or its text if it is none."""
        before = len(self.topic.said)
        request = parse(json.dumps({"type": "LIST", **fields}).encode())
        assert isinstance(request, ListRequest)
        await self.catalogue.listed(request)
        (answer,) = self.topic.said[before:]
        if isinstance(answer, NameOps):
            return [row["nameId"] for row in json.loads(answer.encode())]
        return answer.encode().decode()


async def test_the_newest_come_first_from_the_first_starts_tip_on(autojump_clock: MockClock) -> None:
    world = World()
    await world.chain.broadcast(Sighting(Txid("t0"), NameBytes(b"too old"), b"", (), None))
    await world.chain.mine()
    await world.mine("at the tip")
    async with world.running():
        await world.mine("a", "b")
        await world.mine()
        await world.mine("c")
        assert await world.list() == ["c", "b", "a", "at the tip"]
        assert await world.list(**{"from": 1, "pageSize": 2}) == ["b", "a"]
        assert await world.list(**{"from": 4}) == "LAST_100_CIDS:NONE"


async def test_a_stop_costs_nothing(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        await world.mine("before")
    await world.mine("while down 1")
    await world.mine("while down 2")
    asked = len(world.chain.asked)
    async with world.running():
        assert await world.list() == ["while down 2", "while down 1", "before"]
    assert [height for height, _ in world.chain.asked[asked:]] == [2, 3]


async def test_listing_works_while_nothing_is_indexed_yet(autojump_clock: MockClock) -> None:
    assert await World().list() == "LAST_100_CIDS:NONE"


async def test_nobody_needs_to_ring(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        await world.chain.broadcast(Sighting(Txid("t"), NameBytes(b"unheralded"), b"", (), None))
        await world.chain.mine()
        await trio.sleep(60)
        assert await world.list() == ["unheralded"]


async def test_after_a_reorg_only_what_stands_in_our_chain_is_listed(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        await world.mine("stays")
        await world.mine("mined again")
        await world.mine("double spent")
        await world.chain.reorg(2, drop=["tx of double spent"])
        await world.settled()
        assert await world.list() == ["stays"]
        await world.mine()
        assert await world.list() == ["mined again", "stays"]


async def test_a_reorg_while_stopped_and_below_the_first_start_is_seen(autojump_clock: MockClock) -> None:
    world = World()
    await world.mine()
    async with world.running():
        await world.mine("orphan")
    await world.chain.reorg(2, drop=["tx of orphan"])
    await world.mine("new")
    async with world.running():
        assert await world.list() == ["new"]
        indexed = await world.index.hash_at(1)
        assert indexed is not None
        assert await world.chain.has_block(1, indexed)


async def test_of_a_shorter_chain_from_below_the_first_start_nothing_above_its_tip_is_listed(
    autojump_clock: MockClock,
) -> None:
    """Catches: the old branch's names are listed until the new tip has passed them."""
    world = World()
    genesis = await world.chain.tip()
    await world.mine()
    async with world.running():
        await world.mine("orphan")
        assert await world.list() == ["orphan"]
        await world.chain.reorg(2, drop=["tx of orphan"])
        world.chain.shown_tip = genesis  # more work in fewer blocks
        await world.settled()
        assert await world.list() == "LAST_100_CIDS:NONE"
        world.chain.shown_tip = None
        await world.mine("new")
        assert await world.list() == ["new"]


async def test_headers_that_are_fetched_anew_cost_no_index(autojump_clock: MockClock) -> None:
    world = World()
    genesis = await world.chain.tip()
    async with world.running():
        await world.mine("a")
        assert genesis is not None
        world.chain.shown_tip = replace(genesis, time=genesis.time - timedelta(days=2))
        await world.settled()
        assert await world.list() == ["a"]
        world.chain.shown_tip = None
        await world.mine("b")
        assert await world.list() == ["b", "a"]


async def test_a_block_that_cannot_be_had_is_asked_for_again_and_never_skipped(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        world.chain.asked.clear()
        world.chain.troubles = 9
        await world.mine("hard to get")
        await world.mine("after it")
        await trio.sleep(600)
        assert await world.list() == ["after it", "hard to get"]
    heights, times = zip(*world.chain.asked, strict=True)
    assert heights == (1,) * 10 + (2,)
    pauses = [later - earlier for earlier, later in pairwise(times[:10])]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_after_a_success_patience_begins_anew(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        for name in ("a", "b"):
            world.chain.asked.clear()
            world.chain.troubles = 3
            await world.mine(name)
            await trio.sleep(600)
            times = [time for _, time in world.chain.asked]
            assert [later - earlier for earlier, later in pairwise(times)] == [1, 2, 4]


async def test_an_orphaned_block_is_not_listed_while_its_successor_cannot_be_had(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        await world.mine("orphan")
        assert await world.list() == ["orphan"]
        world.chain.troubles = 1
        await world.chain.reorg(1, drop=["tx of orphan"])
        await world.settled()
        assert await world.list() == "LAST_100_CIDS:NONE"


async def test_a_block_that_is_not_in_our_chain_is_not_taken(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        stray = NameOpAt(Txid("t"), 0, 0, 1, NameOp(NameOpCode.NAME_DOI, NameBytes(b"stray"), b"", Script(b"")))
        world.chain.other = BlockOfNames(1, "ff" * 32, START, (stray,))
        await world.mine("true")
        assert await world.list() == "LAST_100_CIDS:NONE"
        world.chain.other = None
        await world.settled()
        assert await world.list() == ["true"]


async def test_the_first_start_waits_for_the_end_of_the_header_download(autojump_clock: MockClock) -> None:
    world = World()
    tip = await world.chain.tip()
    assert tip is not None
    for days in (900, 600, 300):
        await world.mine()
        world.chain.shown_tip = replace(tip, time=world.clock.now() - timedelta(days=days))
        async with world.running():
            assert await world.index.next_height() is None
    world.chain.shown_tip = None
    async with world.running():
        assert await world.index.next_height() == 4


async def test_a_chain_that_has_stood_still_for_long_is_indexed_too(autojump_clock: MockClock) -> None:
    world = World()
    world.clock.moved = timedelta(days=30)
    async with world.running():
        assert await world.index.next_height() is None
        await trio.sleep(60)
        assert await world.index.next_height() == 1


async def test_the_three_ops_that_show_a_name_are_listed_with_their_address(autojump_clock: MockClock) -> None:
    world = World()
    script = address_to_script(ADDRESS, NETWORK)
    ops = (
        NameOpAt(Txid("t1"), 1, 0, 1_000_000, NameOp(NameOpCode.NAME_NEW, None, None, script)),
        NameOpAt(Txid("t2"), 2, 1, 2_000_000, NameOp(NameOpCode.NAME_FIRSTUPDATE, NameBytes(b"first"), b"v", script)),
        NameOpAt(
            Txid("t3"), 3, 2, 3_000_000, NameOp(NameOpCode.NAME_UPDATE, NameBytes(b"update"), b"\xff", Script(b"\x6a"))
        ),
        NameOpAt(Txid("t4"), 9, 3, 4_000_000, NameOp(NameOpCode.NAME_DOI, NameBytes(b"doi"), None, script)),
    )
    true = await world.chain.name_ops(0)
    assert true is not None
    world.chain.other = replace(true, ops=ops)
    async with world.running():
        assert await world.list() == ["doi", "update", "first"]
    rows = json.loads(world.topic.said[-1].encode())
    shown = [(row["n"], row["valueSwartz"], row["nameValue"], row["address"]) for row in rows]
    assert shown == [(3, 4_000_000, "", ADDRESS), (2, 3_000_000, "\\xff", ""), (1, 2_000_000, "v", ADDRESS)]


# ---------------------------------------------------------------- LIST


async def test_the_browsers_five_lists_get_five_answers_from_one_look(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        await world.mine("a")
        world.index.looks = 0
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(world.catalogue.listed, parse(b'{"type":"LIST","dateString":"LAST"}'))
        assert [type(answer) for answer in world.topic.said] == [NameOps] * 5
        assert world.index.looks == 1
        await trio.sleep(5)
        await world.list(dateString="LAST")
        assert world.index.looks == 2


async def test_a_slow_question_keeps_no_other_waiting_and_a_change_meanwhile_makes_its_answer_nobody_elses(
    autojump_clock: MockClock,
) -> None:
    world = World()
    async with world.running():
        await world.mine("a")
        world.index.looks, world.index.gates[1] = 0, trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.catalogue.listed, parse(b'{"type":"LIST","from":1}'))
            await wait_all_tasks_blocked()
            assert await world.list() == ["a"], "answered while the other look goes on"
            await world.mine("b")
            world.index.gates[1].set()
        assert await world.list(**{"from": 1}) == ["a"], "the look from before the block is not shared after it"
        assert world.index.looks == 3


async def test_a_shared_answer_is_never_older_than_the_index(autojump_clock: MockClock) -> None:
    world = World()
    content = cid_of(RAW, b"art")
    async with world.running():
        await world.mine("a", value=f"ipfs://{content}".encode())
        assert await world.list(filter="collections") == ["a"]
        await world.catalogue.note_metadata(content.key, False)
        assert await world.list(filter="collections") == "LAST_100_CIDS:NONE"
        await world.catalogue.note_metadata(content.key, True)
        assert await world.list(filter="collections") == ["a"]
        await world.mine("b")
        assert await world.list(filter="collections") == ["a"]
        assert await world.list() == ["b", "a"]
        await world.chain.reorg(1, drop=["tx of b"])
        await world.settled()
        assert await world.list() == ["a"]


async def test_a_thousand_different_questions_are_not_all_remembered(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        for offset in range(1_000):
            await world.list(**{"from": offset})
        assert len(world.catalogue._answers) == MOST_SHARED


async def test_details_say_how_far_the_index_reaches(autojump_clock: MockClock) -> None:
    world = World()
    await world.mine("too old")
    await world.mine("at the tip")
    assert await detailed(world) == {"status": "NAMES", "names": [], "reachesBackTo": None, "complete": False}
    async with world.running():
        await world.mine("a")
        answer = await detailed(world, id="r1")
        assert (answer["status"], answer["id"], answer["reachesBackTo"]) == ("NAMES", "r1", 2)
        assert answer["complete"] is False
        assert [row["nameId"] for row in answer["names"]] == ["a", "at the tip"]
        assert (await detailed(world, **{"from": 9}))["names"] == []
        old = await world.chain.names_below(2, await indexed_hash(world, 2))
        rows = [IndexedBlock(block.height, block.hash, tuple(name_rows(block, NETWORK))) for block in old]
        assert await world.index.add_below(2, await indexed_hash(world, 2), rows)
        world.catalogue.note_change()
        answer = await detailed(world)
        assert (answer["reachesBackTo"], answer["complete"]) == (1, True)
        assert [row["nameId"] for row in answer["names"]] == ["a", "at the tip", "too old"]


async def indexed_hash(world: World, height: int) -> str:
    found = await world.index.hash_at(height)
    assert found is not None
    return found


async def detailed(world: World, **fields: object) -> dict[str, Any]:
    """The one object that answers a LIST with details."""
    before = len(world.topic.said)
    request = parse(json.dumps({"type": "LIST", "details": True, **fields}).encode())
    assert isinstance(request, ListRequest)
    await world.catalogue.listed(request)
    (answer,) = world.topic.said[before:]
    decoded: dict[str, Any] = json.loads(answer.encode())
    return decoded


async def test_askers_with_details_share_a_look_and_each_gets_the_id_of_its_own(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running():
        await world.mine("a")
        world.index.looks = 0
        answers = [await detailed(world, id=id_) for id_ in ("r1", "r2")] + [await detailed(world)]
        assert [answer.get("id") for answer in answers] == ["r1", "r2", None]
        assert world.index.looks == 1
        assert await world.list() == ["a"], "an array for who asks for none"
        assert world.index.looks == 2


async def test_a_question_with_details_that_cannot_be_answered_gets_a_text_as_ever(autojump_clock: MockClock) -> None:
    world = World()
    assert await world.list(details=True, dateString="31.1.2024") == "INVALID_DATE_FORMAT"
    assert await world.list(details="yes") == "ERROR:details is true or false"
    world.index.broken = True
    assert await world.list(details=True) == "ERROR:the name index cannot be read now"


@dataclass(slots=True)
class KeptForArt:
    root: Root
    broken: bool = False
    asked: list[Root] = field(default_factory=list)

    async def kept(self, root: Root) -> KeptMedia | None:
        if self.broken:
            raise Trouble("the disk is away")
        self.asked.append(root)
        return KeptMedia(START) if root == self.root else None


async def test_media_is_looked_up_once_for_each_content(autojump_clock: MockClock) -> None:
    world, art, other = World(), cid_of(RAW, b"art"), cid_of(RAW, b"other")
    kept = KeptForArt(art.key)
    async with world.running():
        world.catalogue.media = kept
        await world.mine("a", "b", value=f"ipfs://{art}".encode())
        await world.mine("c", value=f"ipfs://{other}".encode())
        await world.mine("d", value=b"no content")
        answer = await detailed(world, media=True)
        until = "2026-11-20T12:00:00.000Z"
        assert [(row["nameId"], row["media"]) for row in answer["names"]] == [
            ("d", None),
            ("c", {"cid": str(other), "pinned": False}),
            ("b", {"cid": str(art), "pinned": True, "until": until}),
            ("a", {"cid": str(art), "pinned": True, "until": until}),
        ]
        assert sorted(kept.asked) == sorted([art.key, other.key])
        assert "media" not in (await detailed(world))["names"][0]
        kept.broken = True
        await trio.sleep(5)
        assert await world.list(details=True, media=True) == "ERROR:the name index cannot be read now"


async def test_days_are_utc_and_today_moves(autojump_clock: MockClock) -> None:
    world = World()
    world.clock.moved = timedelta(hours=11, minutes=59)  # 23:59 on 20 November
    await world.chain.mine()
    async with world.running():
        await world.mine("late")
        world.clock.moved += timedelta(minutes=1)
        await world.mine("early")
        assert await world.list(dateString="2026-11-20") == ["late"]
        assert await world.list(dateString="TODAY") == await world.list(dateString="2026-11-21") == ["early"]
        assert await world.list(dateString="2026-11-19") == "2026-11-19_CIDS:NONE"
        world.clock.moved += timedelta(days=1)
        assert await world.list(dateString="TODAY") == "TODAY_CIDS:NONE"
        assert await world.list(filter={"type": "all", "dateString": "2026-11-20"}, dateString="TODAY") == ["late"]


async def test_a_list_that_cannot_be_answered_is_told_why(autojump_clock: MockClock) -> None:
    world = World()
    assert await world.list(dateString="31.1.2024") == "INVALID_DATE_FORMAT"
    assert await world.list(filter="everything") == "ERROR:unknown filter"
    world.index.broken = True
    assert await world.list() == "ERROR:the name index cannot be read now"
    world.index.broken = False
    assert await world.list() == "LAST_100_CIDS:NONE"
