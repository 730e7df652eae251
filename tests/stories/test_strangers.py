"""Strangers who pay nothing, or one swartz, take nothing from who has paid: no disk, no place, no time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from trio.testing import MockClock

from pinning_worker.domain.identities import NameBytes
from pinning_worker.domain.pin import ACTIVE, PinKey, State
from tests import content
from tests.stories.world import World, budget, terms

SMALL_BUDGET = budget(max_bytes=1_000_000)
PIECE = 4096  # a file takes so much of a disk at least


def all_but_the_last(blocks: content.Blocks, cid_hash: bytes) -> content.Blocks:
    last = [multihash for multihash in blocks if multihash != cid_hash][-1]
    return {multihash: block for multihash, block in blocks.items() if multihash != last}


async def test_fetches_that_are_never_finished_take_no_more_of_the_disk_than_what_is_quoted(
    autojump_clock: MockClock,
) -> None:
    """Catches: who withholds one block of each DAG fills the disk, for blocks that wait for a retry are not counted."""
    world = World(terms=terms(budget=SMALL_BUDGET, staging_quota=2_000_000))
    world.blocks.most_unpaid = 2_000_000
    async with world.running() as w:
        for seed in range(12):
            cid, blocks = content.file(content.noise(900_000, seed))
            w.offer(all_but_the_last(blocks, cid.multihash))
            await w.say(f"NEW-CID:{cid}", peer=f"stranger {seed}")
            await w.later(minutes=1)
        assert [each["code"] for each in w.hear() if each["status"] == "ERROR"] == ["TIMEOUT"] * 12
        assert w.blocks.used <= 2_000_000
        assert sum(each.bytes for each in await w.blocks.quarantined()) <= 2_000_000


async def test_what_came_of_an_unfinished_fetch_is_there_for_the_next(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(900_000))
    last = set(blocks) - set(all_but_the_last(blocks, cid.multihash))
    async with World().running() as w:
        w.offer(all_but_the_last(blocks, cid.multihash))
        await w.say(f"NEW-CID:{cid}")
        await w.later(minutes=1)
        assert w.hear()[-1]["code"] == "TIMEOUT"
        w.fetcher.peers.clear()
        w.offer({multihash: blocks[multihash] for multihash in last}, "has only that one")
        await w.quoted(cid)


async def test_tiny_blocks_are_counted_as_what_they_take_of_a_disk(autojump_clock: MockClock) -> None:
    """Catches: a million blocks of 40 bytes are 40 MB to the quota and 4 GB to the disk."""
    quota = 200 * PIECE
    world = World(terms=terms(budget=budget(100 * PIECE, 100), staging_quota=quota))
    world.blocks.most_unpaid = quota
    async with world.running() as w:
        for seed in range(20):
            cid, blocks = content.file(content.noise(2_000, seed), chunk=40)
            w.offer(blocks)
            await w.say(f"NEW-CID:{cid}", peer=f"stranger {seed}")
        assert len(w.blocks.data) * PIECE <= quota
        assert "BUSY" in [message.get("code") for message in w.hear()]
        await w.later(days=2)
        assert len(w.in_quarantine()) * PIECE <= quota


async def test_one_swartz_makes_no_block_a_paid_one(autojump_clock: MockClock) -> None:
    """Catches: a payment that buys nothing puts its blocks into that half of the quarantine which has no limit."""
    world = World(terms=terms(budget=SMALL_BUDGET, staging_quota=2_000_000, quote_life=timedelta(hours=1)))
    world.blocks.most_unpaid = 2_000_000
    async with world.running() as w:
        for seed in range(6):
            cid, blocks = content.file(content.noise(900_000, seed))
            w.offer(blocks)
            await w.quoted(cid)
            await w.pay(cid, 1, f"art/{seed}")
            await w.mine(3)
            assert (await w.pin(cid, f"art/{seed}")).state is State.SHORT
            await w.pass_time(hours=26)
        assert [each for each in await w.blocks.quarantined() if each.was_paid] == []
        assert sum(each.bytes for each in await w.blocks.quarantined()) <= 2_000_000


async def test_one_swartz_for_what_was_never_quoted_buys_no_place_beyond_the_quota(autojump_clock: MockClock) -> None:
    """Catches: what is owed is fetched without limit, whatever was paid for it."""
    async with World(terms=terms(budget=SMALL_BUDGET, staging_quota=2_000_000)).running() as w:
        for seed in range(6):
            cid, blocks = content.file(content.noise(900_000, seed))
            w.offer(blocks)
            await w.pay(cid, 1, f"art/{seed}")
        await w.mine(3)
        await w.later(hours=1)
        assert w.blocks.used <= 2_000_000
        assert sum((await w.books.unpaid_room()).values()) <= 2_000_000


async def test_who_asks_for_a_damaged_paid_cid_does_not_put_it_under_the_strangers_quota(
    autojump_clock: MockClock,
) -> None:
    """Catches: the quota is used up for nothing, then a NEW-CID for what is owed makes its fetch one of a stranger."""
    paid, paid_blocks = content.file(content.noise(900_000))
    other, other_blocks = content.file(content.noise(900_000, 2))
    async with World(terms=terms(budget=SMALL_BUDGET, staging_quota=1_000_000)).running() as w:
        w.offer(paid_blocks)
        await w.pinned(paid)
        w.offer(other_blocks)
        await w.quoted(other)
        lost = next(multihash for multihash in paid_blocks if multihash != paid.multihash)
        w.fetcher.peers.clear()
        w.lose(lost, rot=True)
        assert await w.blocks.get(lost) is None
        await w.later(seconds=35)
        assert (await w.pin(paid)).state is State.OWED
        w.offer(paid_blocks)
        await w.say(f"NEW-CID:{paid}", peer="a stranger")
        assert (await w.pin(paid)).state is State.PINNED


async def test_what_is_owed_and_cannot_be_had_takes_no_place_in_the_queue_of_who_asks(
    autojump_clock: MockClock,
) -> None:
    """Catches: a disk that lost what a few hundred paid for, whose givers are gone, and nobody is sold anything."""
    async with World(terms=terms(queue_size=10, queue_size_per_peer=5, fetches_at_once=4)).running() as w:
        for seed in range(30):
            cid, blocks = content.file(content.noise(200, seed))
            w.offer(blocks)
            await w.pinned(cid, f"art/{seed}")
        w.fetcher.peers.clear()
        w.blocks.data.clear()
        await w.later(days=1, minutes=2)
        owed = [pin for pin in await w.books.all_pins() if pin.state is State.OWED]
        assert len(owed) == 30
        wanted, blocks = content.file(b"a new customer's picture")
        w.offer(blocks)
        w.hear()
        await w.say(f"NEW-CID:{wanted}", peer="a customer")
        await w.later(minutes=1)
        assert w.hear_statuses() == ["ADDING-CID"]


async def test_a_flood_of_slow_requests_keeps_what_is_owed_waiting_for_one_place_only(
    autojump_clock: MockClock,
) -> None:
    """Catches: made-up peers, of whom each asks for one CID, are all served before what is paid for."""
    paid, paid_blocks = content.file(content.noise(600_000))
    async with World(terms=terms(queue_size=40, queue_size_per_peer=40, fetches_at_once=2)).running() as w:
        w.offer(paid_blocks)
        await w.pinned(paid)
        lost = next(multihash for multihash in paid_blocks if multihash != paid.multihash)
        for seed in range(40):
            cid, _ = content.file(content.noise(60, seed))
            await w.say(f"NEW-CID:{cid}", peer=f"made up {seed}", through=f"line {seed % 4}")
        w.lose(lost, rot=True)
        assert await w.blocks.get(lost) is None
        await w.later(seconds=31)
        assert (await w.pin(paid)).state is State.PINNED
        assert await w.blocks.get(lost) == paid_blocks[lost]


@pytest.mark.parametrize("naming", [30])
async def test_one_broken_block_that_many_quoted_roots_share_leaves_places_for_others(
    autojump_clock: MockClock, naming: int
) -> None:
    """Catches: a hundred documents name one picture; one of its blocks rots, and all of them stand in the queue."""
    async with World(terms=terms(queue_size=10, queue_size_per_peer=5, fetches_at_once=2)).running() as w:
        image = content.noise(500)
        for number in range(naming):
            cid, image_cid, blocks = content.nft(image, name=str(number))
            w.offer(blocks)
            await w.quoted(cid)
        w.fetcher.peers.clear()
        w.lose(image_cid.multihash, rot=True)
        assert await w.blocks.get(image_cid.multihash) is None
        await w.settle()
        rows = [await w.books.request(root) for root in {q.root for q in w.books._quotes.values()}]
        assert sum(row is not None and row.state in ACTIVE for row in rows) <= 5
        wanted, blocks = content.file(b"a new customer's picture")
        w.offer(blocks)
        w.hear()
        await w.say(f"NEW-CID:{wanted}", peer="a customer")
        await w.later(seconds=40)
        assert "ADDING-CID" in w.hear_statuses()


async def test_a_quote_that_was_damaged_and_could_not_be_asked_for_again_is_still_honoured(
    autojump_clock: MockClock,
) -> None:
    async with World(terms=terms(queue_size=2, queue_size_per_peer=2, fetches_at_once=2)).running() as w:
        image, quoted = content.noise(500), {}
        for number in range(4):
            cid, image_cid, blocks = content.nft(image, name=str(number))
            w.offer(blocks)
            quoted[cid] = await w.quoted(cid)
        w.lose(image_cid.multihash, rot=True)
        given = dict(w.fetcher.peers)
        w.fetcher.peers.clear()
        assert await w.blocks.get(image_cid.multihash) is None
        await w.later(hours=2)
        w.fetcher.peers |= given
        for number, (cid, amount) in enumerate(quoted.items()):
            await w.pay(cid, amount, f"art/{number}")
        await w.mine(3)
        await w.later(minutes=5)
        for number, cid in enumerate(quoted):
            pin = await w.books.pin(PinKey(cid.key, NameBytes(f"art/{number}".encode())))
            assert pin is not None
            assert pin.state is State.PINNED


async def test_on_a_full_disk_nothing_of_a_refused_fetch_stays_though_the_queue_is_never_quiet(
    autojump_clock: MockClock,
) -> None:
    """Catches: what came before the disk was full is known to nobody, more than a sweep lets go by itself, and waits
    for a moment without a request: the disk stays full until the operator comes."""
    large, blocks = content.file(content.noise(900_000))
    nowhere, _ = content.file(b"nobody has it")
    async with World().running() as w:
        w.blocks.capacity = 500_000
        w.offer(blocks)
        await w.say(f"NEW-CID:{nowhere}", peer="always asks")
        await w.say(f"NEW-CID:{large}", peer="a stranger")
        assert [each["code"] for each in w.hear()] == ["BUSY"]
        assert await w.blocks_on_disk() == set()


async def test_who_quotes_the_blocks_of_another_before_his_term_ends_takes_them_not_out_of_the_paid_half(
    autojump_clock: MockClock,
) -> None:
    """Catches: a folder around the paid content is asked for on its last day; when that quote lapses the blocks count
    as never paid for, and a flood of such pushes them out before the late renewal."""
    paid, blocks = content.file(content.noise(600_000))
    world = World()
    world.blocks.most_unpaid = 1_000_000
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(paid)
        await w.months_later(242)
        around: content.Blocks = {}
        folder = content.folder({"art": (paid, 600_000)}, around)
        w.offer(around)
        while (await w.pin(paid)).state is not State.RELEASED:
            await w.say(f"NEW-CID:{folder}", peer="a stranger")
            await w.months_later(0.5)
            await w.pass_time(hours=12)
            await w.mine(12)
        assert set(blocks) <= await w.blocks_on_disk(), "the stranger's quote holds them"
        await w.pass_time(hours=25)
        assert await w.blocks_on_disk() == set()
        for seed in range(2, 5):
            cid, others = content.file(content.noise(900_000, seed))
            w.offer(others)
            await w.quoted(cid)
        await w.pass_time(hours=30)
        w.fetcher.peers.clear()
        w.hear()
        await w.pay(paid, 3_397_411, "art/1")
        await w.mine(3)
        await w.later(minutes=5)
        assert (await w.pin(paid)).state is State.PINNED
