"""Fetching, engine to engine over real hosts on loopback: what comes, what does not, and how one is told."""

import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import trio

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap import session
from pinning_worker.adapters.p2p.bitswap.conduct import Fault
from pinning_worker.adapters.p2p.bitswap.walk import Walk
from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.domain.content.cid import Cid, cid_from_bytes, cid_of, encode_varint
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.content import Budget, NoRoom, NotFound, OverBudget, Stalled, Unreadable
from tests.adapters.p2p.bitswap.raw_peer import open_raw_peer, wants_in
from tests.adapters.p2p.bitswap.rig import BUDGET, MIB, add, add_file, chunks, open_node, until
from tests.domain.dagpb import DAG_PB, RAW, field, node

QUICK = replace(BUDGET, first_block_time=timedelta(seconds=3), idle_time=timedelta(seconds=3))


class Counting(MemoryBlocks):
    """Notes what is asked of the store: what a server was made to look up."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: list[bytes] = []

    async def get(self, multihash: Multihash) -> bytes | None:
        self.looked_up.append(multihash)
        return await super().get(multihash)


class Hesitating(MemoryBlocks):
    """Is asked for a block, and never comes to an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.looking = trio.Event()

    async def get(self, multihash: Multihash) -> bytes | None:
        self.looking.set()
        await trio.sleep_forever()
        return None


async def test_a_dag_comes_whole_in_walk_order_and_is_stored() -> None:
    async with open_node() as giver, open_node() as taker:
        parts = [await add_file(giver.blocks, *chunks(9, 1000 + n)) for n in range(5)]
        root = await add(giver.blocks, DAG_PB, node(*parts, parts[0]))
        await taker.connect(giver)
        fetched = await taker.fetch(root, giver.id)
        assert len(fetched.blocks) == 51
        assert list(fetched.blocks)[:3] == [
            root.multihash,
            parts[0].multihash,
            cid_of(RAW, chunks(9, 1000)[0]).multihash,
        ]
        assert fetched.bytes == sum([len(await giver.blocks.get(name) or b"") for name in fetched.blocks])
        assert await taker.blocks.audit(list(fetched.blocks)) == set()


async def test_a_node_of_thousands_of_links_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it comes, and out of the store. 4 MiB of links stop whoever reads them for 400 ms."""
    read_by, children = [], Walk.children

    def noted(self: Walk, cid: Cid, block: bytes) -> tuple[Cid, ...]:
        if cid.codec == DAG_PB:
            read_by.append(threading.current_thread())
        return children(self, cid, block)

    monkeypatch.setattr(Walk, "children", noted)
    async with open_node() as giver, open_node() as taker:
        leaf = await add(giver.blocks, RAW, b"leaf")
        root = await add(giver.blocks, DAG_PB, node(*[leaf] * 5_000))
        await taker.connect(giver)
        for _ in range(2):
            assert len((await taker.fetch(root, giver.id)).blocks) == 2
    assert len(read_by) == 2
    assert threading.main_thread() not in read_by


async def test_many_big_blocks_are_each_sent_once() -> None:
    async with open_node() as giver, open_node() as taker:
        root = await add_file(giver.blocks, *chunks(40, MIB))
        await taker.connect(giver)
        fetched = await taker.fetch(root, giver.id)
        assert fetched.bytes > 40 * MIB
        assert giver.engine.server.blocks_sent == 41
        assert taker.engine.receiver.duplicates == 0
        assert taker.told[-1] == (41, fetched.bytes)


async def test_old_cids_and_single_blocks() -> None:
    async with open_node() as giver, open_node() as taker:
        await taker.connect(giver)
        leaf = await add(giver.blocks, RAW, b"leaf")
        assert (await taker.fetch(leaf, giver.id)).blocks == {leaf.multihash: 4}
        root = await add_file(giver.blocks, b"one", b"two")
        assert len((await taker.fetch(Cid(0, DAG_PB, root.multihash), giver.id)).blocks) == 3


async def test_what_is_here_is_not_asked_for() -> None:
    giver_blocks = Counting()
    async with open_node(giver_blocks) as giver, open_node() as taker:
        root = await add_file(giver.blocks, *chunks(10, 2000))
        for block in (*chunks(10, 2000)[:5], await giver.blocks.get(root.multihash) or b""):
            await add(taker.blocks, RAW, block)
        giver_blocks.looked_up.clear()
        await taker.connect(giver)
        assert len((await taker.fetch(root, giver.id)).blocks) == 11
        assert sorted(giver_blocks.looked_up) == sorted(cid_of(RAW, block).multihash for block in chunks(10, 2000)[5:])
        assert len((await taker.fetch(root)).blocks) == 11, "whole: nobody is needed"


async def test_two_fetches_of_one_dag_get_every_block_and_each_is_sent_once() -> None:
    async with open_node() as giver, open_node() as taker:
        root = await add_file(giver.blocks, *chunks(100, 20_000))
        await taker.connect(giver)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(taker.fetch, root, giver.id)
        assert giver.engine.server.blocks_sent == 101


async def test_a_fetch_that_is_called_off_takes_nothing_from_its_twin() -> None:
    async with open_node() as giver, open_node() as taker:
        root = await add_file(giver.blocks, *chunks(60, 100_000))
        await taker.connect(giver)
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as called_off:
                nursery.start_soon(taker.fetch, root, giver.id)

                async def stop() -> None:
                    await until(lambda: root.multihash in taker.blocks.data)
                    called_off.cancel()

                nursery.start_soon(stop)
                await taker.fetch(root, giver.id)
        assert called_off.cancelled_caught
        assert await taker.blocks.audit([cid_of(RAW, block).multihash for block in chunks(60, 100_000)]) == set()


# ---------------------------------------------------------------- how much is asked at a time


async def test_a_line_that_nobody_knows_is_asked_for_one_block_and_a_fast_one_then_for_many() -> None:
    blocks = MemoryBlocks()
    root = await add_file(blocks, *chunks(40, 60_000))
    asked_at_a_time: list[int] = []
    async with open_node() as taker, open_raw_peer() as giver, trio.open_nursery() as nursery:

        async def give() -> None:
            while sum(asked_at_a_time) < 41:
                wants = (await giver.until_wants(sum(asked_at_a_time) + 1))[sum(asked_at_a_time) :]
                asked_at_a_time.append(len(wants))
                await giver.give(taker, *[blocks.data[cid_from_bytes(want.cid).multihash] for want in wants])

        await giver.connect(taker)
        nursery.start_soon(give)
        await taker.fetch(root, giver.id)
    assert asked_at_a_time[:2] == [1, 1], "the root, and the first below it"
    assert max(asked_at_a_time) >= 4


async def test_what_comes_of_an_unfinished_block_is_told_and_keeps_the_fetch_alive() -> None:
    """A block that takes four times as long as nothing may take."""
    block = bytes(400_000)
    root, patience = (
        cid_of(RAW, block),
        replace(BUDGET, first_block_time=timedelta(seconds=1), idle_time=timedelta(seconds=1)),
    )
    async with open_node() as taker, open_raw_peer() as giver, trio.open_nursery() as nursery:
        await giver.connect(taker)
        nursery.start_soon(partial(taker.fetch, root, giver.id, budget=patience))
        await giver.until_wants(1)
        await giver.give(taker, block, seconds=4)
    assert any(blocks == 0 and size > 100_000 for blocks, size in taker.told)
    assert taker.told[-1] == (1, 400_000)


# ---------------------------------------------------------------- others are asked


async def test_when_the_asker_has_it_not_another_peer_is_found() -> None:
    async with open_node() as asker, open_node() as holder, open_node() as stranger, open_node() as taker:
        root = await add_file(holder.blocks, *chunks(50, 3000))
        for other in (asker, stranger, holder):
            await taker.connect(other)
        fetched = await taker.fetch(root, asker.id)
        assert len(fetched.blocks) == 51
        assert taker.engine.receiver.duplicates == 0


@pytest.mark.parametrize("crowd", ["says nothing", "says HAVE"])
async def test_a_crowd_that_gives_nothing_does_not_hide_the_one_that_has_it(
    crowd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty who are connected as it is. The session's patience is a tenth of what it is, as is all else of it."""
    for name, seconds in (("PATIENCE_SECONDS", 0.5), ("REPEAT_SECONDS", 1.0), ("TICK_SECONDS", 0.1)):
        monkeypatch.setattr(session, name, seconds)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        taker, holder = await enter(open_node()), await enter(open_node())
        root = await add_file(holder.blocks, *chunks(5, 3000))
        for _ in range(20):
            peer = await enter(open_raw_peer())
            peer.says_have = crowd == "says HAVE"
            await peer.connect(taker)
        await taker.connect(holder)
        assert len((await taker.fetch(root, budget=QUICK)).blocks) == 6


async def test_each_of_two_peers_has_one_half() -> None:
    async with open_node() as one, open_node() as two, open_node() as taker:
        root = await add_file(one.blocks, *chunks(20, 3000))
        for number, block in enumerate(chunks(20, 3000)):
            if number % 2:
                await add(two.blocks, RAW, block)
                del one.blocks.data[cid_of(RAW, block).multihash]
        await taker.connect(one)
        await taker.connect(two)
        assert len((await taker.fetch(root, one.id)).blocks) == 21


async def test_a_peer_that_is_named_by_its_address_is_dialled() -> None:
    async with open_node() as giver, open_node() as taker:
        root = await add(giver.blocks, RAW, b"x")
        origins = ["not an address", "/ip6zone/1", "/ip4/127.0.0.1/tcp/1/p2p/" + giver.id, giver.address]
        assert len((await taker.fetch(root, origins=origins)).blocks) == 1


async def test_who_asked_may_connect_after_we_began() -> None:
    async with open_node() as giver, open_node() as taker, trio.open_nursery() as nursery:
        root = await add_file(giver.blocks, b"a", b"b")
        nursery.start_soon(taker.fetch, root, giver.id)
        await giver.connect(taker)


async def test_a_block_that_its_peer_gets_later_comes_by_itself() -> None:
    """The peer said DONT_HAVE, kept the want, and sends the block when it has it."""
    async with open_node() as giver, open_node() as taker, trio.open_nursery() as nursery:
        root = cid_of(RAW, b"late")
        await taker.connect(giver)
        nursery.start_soon(taker.fetch, root, giver.id)
        await until(lambda: taker.id in giver.engine.server.waiting())
        await add(giver.blocks, RAW, b"late")
        giver.engine.block_stored(root.multihash)


async def test_a_block_that_one_peer_gives_is_given_at_once_to_another_that_waits() -> None:
    async with open_node() as source, open_node() as middle, open_node() as end:
        root = await add_file(source.blocks, *chunks(30, 5000))
        await end.connect(middle)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end.fetch, root, middle.id)
            await until(lambda: end.id in middle.engine.server.waiting())
            await middle.connect(source)
            await middle.fetch(root, source.id)
        assert await end.blocks.size(root.multihash)


# ---------------------------------------------------------------- broken connections


async def test_a_peer_that_restarts_in_the_middle_goes_on_where_it_was() -> None:
    key = new_key()
    blocks, all_chunks = MemoryBlocks(), chunks(60, 50_000)
    root = await add_file(blocks, *all_chunks)
    withheld = {cid_of(RAW, chunk).multihash: chunk for chunk in all_chunks[30:]}
    for multihash in withheld:
        del blocks.data[multihash]
    async with open_node() as taker, trio.open_nursery() as nursery:
        async with open_node(blocks, key=key) as giver:
            await giver.connect(taker)
            nursery.start_soon(taker.fetch, root, giver.id)
            await until(lambda: len(taker.blocks.data) == 31)
        for multihash, chunk in withheld.items():
            await blocks.put(multihash, chunk)
        async with open_node(blocks, key=key) as giver:
            await giver.connect(taker)
            await until(lambda: withheld.keys() <= taker.blocks.data.keys())
            assert giver.engine.server.blocks_sent == 30, "only what was missing"


async def test_a_peer_that_comes_back_is_asked_at_once_for_what_it_was_asked_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was asked, went away without an answer, and is back. Catches: it is taken for one that owes us the block, as
    if what it was asked had not gone with its connection."""
    for name in ("PATIENCE_SECONDS", "REPEAT_SECONDS"):
        monkeypatch.setattr(session, name, 600.0)
    key, block = new_key(), b"after all"
    async with open_node() as taker, trio.open_nursery() as nursery:
        async with open_raw_peer(key) as giver:
            await giver.connect(taker)
            nursery.start_soon(taker.fetch, cid_of(RAW, block), giver.id)
            await giver.until_wants(1)
        await until(lambda: not taker.host.peers())
        async with open_raw_peer(key) as giver:
            await giver.connect(taker)
            await giver.until_wants(1)
            await giver.give(taker, block)


async def test_a_connection_that_breaks_under_load_loses_nothing() -> None:
    """Wants that were on their way, and answers half written, are said again on the new connection."""
    async with open_node() as giver, open_node() as taker, trio.open_nursery() as nursery:
        root = await add_file(giver.blocks, *chunks(60, MIB))
        await taker.connect(giver)
        nursery.start_soon(taker.fetch, root, giver.id)
        for held in (10, 20, 30):
            await until(lambda held=held: len(taker.blocks.data) > held)  # type: ignore[misc]  # mypy has no default arguments in lambdas
            await taker.host.disconnect(giver.id)
            await giver.connect(taker)


# ---------------------------------------------------------------- how it fails


async def test_nobody_has_it() -> None:
    async with open_node() as giver, open_node() as taker:
        await taker.connect(giver)
        root = cid_of(RAW, b"nobody's")
        with pytest.raises(NotFound, match=f"{root} within 3 s"):
            await taker.fetch(root, giver.id, budget=QUICK)
        with pytest.raises(NotFound):
            await taker.fetch(root, PeerId("not a peer id"), budget=QUICK)


async def test_blocks_came_and_then_stopped() -> None:
    async with open_node() as giver, open_node() as taker:
        root = await add_file(giver.blocks, b"one", b"two", b"three")
        del giver.blocks.data[cid_of(RAW, b"two").multihash]
        await taker.connect(giver)
        with pytest.raises(Stalled, match="3 blocks") as caught:
            await taker.fetch(root, giver.id, budget=QUICK)
        assert cid_of(RAW, b"three").multihash in caught.value.blocks
        await add(giver.blocks, RAW, b"two")
        assert len((await taker.fetch(root, giver.id)).blocks) == 4, "what is held is kept for the retry"


async def test_a_turn_that_is_over_ends_a_fetch_as_its_deadline_does() -> None:
    async with open_node() as giver, open_node() as taker:
        root = await add_file(giver.blocks, b"one", b"two", b"three")
        del giver.blocks.data[cid_of(RAW, b"two").multihash]
        await taker.connect(giver)
        with pytest.raises(NotFound):
            await taker.fetch(cid_of(RAW, b"nobody's"), giver.id, is_over=lambda: True)
        with pytest.raises(Stalled, match="3 blocks"):
            await taker.fetch(root, giver.id, is_over=lambda: len(taker.blocks.data) == 3)


async def test_the_whole_may_not_take_for_ever() -> None:
    async with open_node() as taker:
        with pytest.raises(Stalled, match=r"not whole within 0\.1 s"):
            await taker.fetch(cid_of(RAW, b""), budget=replace(BUDGET, fetch_time=timedelta(seconds=0.1)))


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (replace(BUDGET, max_bytes=30_000), "30000 bytes"),
        (replace(BUDGET, max_blocks=10), "10 blocks"),
        (replace(BUDGET, max_depth=0), "0 depth"),
    ],
)
async def test_over_budget(limit: Budget, said: str) -> None:
    async with open_node() as giver, open_node() as taker:
        root = await add_file(giver.blocks, *chunks(50, 1000))
        await taker.connect(giver)
        with pytest.raises(OverBudget, match=said):
            await taker.fetch(root, giver.id, budget=limit)
        assert taker.blocks.used <= 30_000
        await taker.fetch(root, giver.id)


async def test_a_malformed_node_is_named_and_not_stored() -> None:
    async with open_node() as giver, open_node() as taker:
        bad = await add(giver.blocks, DAG_PB, field(7, b"no such field"))
        root = await add(giver.blocks, DAG_PB, node(bad))
        await taker.connect(giver)
        with pytest.raises(Unreadable, match=str(bad)):
            await taker.fetch(root, giver.id)
        assert await taker.blocks.size(bad.multihash) is None


@pytest.mark.parametrize("asked_us", [True, False])
async def test_a_block_that_is_larger_than_a_message_is_named(asked_us: bool) -> None:
    """Kubo sends such a message whole. An asker is believed at once, a stranger when nobody else has it."""
    root = cid_of(RAW, b"as if it had 5 MiB")
    patience = replace(BUDGET, first_block_time=timedelta(seconds=30 if asked_us else 3))
    async with open_node() as taker, open_raw_peer() as giver, trio.open_nursery() as nursery:
        giver.says_have = True
        await giver.connect(taker)

        async def show() -> None:
            await giver.until(lambda heard: any(want.kind is WantType.BLOCK for want in wants_in(heard)))
            await (await giver.open(taker)).write(encode_varint(5 * MIB) + bytes(1000))

        nursery.start_soon(show)
        with pytest.raises(Unreadable, match=f"block {root} is larger than 2 MiB"), trio.fail_after(20):
            await taker.fetch(root, *([giver.id] if asked_us else []), budget=patience)
        assert taker.engine.conduct.faults[Fault.BAD_MESSAGE] == 0, "it did what it was asked to"


async def test_another_codec_or_hash_is_unreadable_and_asked_of_nobody() -> None:
    async with open_node() as taker:
        for cid in (
            cid_of(0x71, b""),
            Cid(1, RAW, Multihash(b"\x13\x20" + bytes(32))),
            Cid(1, RAW, Multihash(b"\x00\x02hi")),
        ):
            with pytest.raises(Unreadable):
                await taker.fetch(cid)


async def test_a_full_disk_is_told_as_such_and_the_engine_lives() -> None:
    blocks = MemoryBlocks(capacity=30_000)
    async with open_node() as giver, open_node(blocks) as taker:
        root = await add_file(giver.blocks, *chunks(50, 1000))
        await taker.connect(giver)
        with pytest.raises(NoRoom) as told:
            await taker.fetch(root, giver.id)
        assert set(blocks.data) <= set(told.value.blocks), "what came is known, and can go"
        blocks.capacity = None
        with trio.fail_after(20):
            assert len((await taker.fetch(root, giver.id)).blocks) == 51
