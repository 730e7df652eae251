"""Blocks of a pinned CID are lost on disk: all who paid for it are owed it, and served as before once it is back."""

from __future__ import annotations

from datetime import timedelta

from trio.testing import MockClock

from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.pin import State
from tests import content
from tests.stories.world import World, terms

PRICE = 3_397_411  # of eight months


async def lose_one(w: World, cid: Cid, blocks: content.Blocks, name: str = "b") -> None:
    """One block but the first rots, nobody gives it again, and the audit for another name finds it."""
    lost = next(multihash for multihash in blocks if multihash != cid.multihash)
    w.lose(lost)
    w.fetcher.peers.clear()
    await w.pay(cid, PRICE, name)
    await w.mine(3)
    await w.later(hours=3)
    w.hear()


async def test_a_block_lost_under_one_name_is_owed_to_every_name_until_it_is_back(autojump_clock: MockClock) -> None:
    """Catches: the pin of the other name goes on as PINNED."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        first = await w.pinned(cid, "a")
        before, (receipt,) = await w.pin(cid, "a"), await w.receipts.all()
        await lose_one(w, cid, blocks)
        for name in ("a", "b"):
            owed = await w.pin(cid, name)
            assert (owed.state, owed.reason) == (State.OWED, "blocks were lost or broken on disk")
        assert await w.books.pins_naming(cid.key, 10) == []

        w.offer(blocks, "another peer")
        await w.later(hours=6)
        said = w.hear()
        pinned = [m["nameId"] for m in said if m["status"] == "CID-PINNED-WITH-NAME"]
        assert sorted(pinned) == ["a", "b"]
        after = await w.pin(cid, "a")
        assert (after.state, after.starts, after.ends) == (State.PINNED, before.starts, before.ends)
        receipts = {record.txid: record for record in await w.receipts.all()}
        assert receipts[first] == receipt


async def test_what_is_left_of_a_paid_closure_stays_until_the_lost_block_is_back(autojump_clock: MockClock) -> None:
    """Catches: an hour after the first failed fetch all its other blocks went, though they are paid for."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid, "a")
        await lose_one(w, cid, blocks)
        await w.later(days=2)
        left = await w.blocks_on_disk()
        assert len(left) == len(blocks) - 1
        w.offer({multihash: block for multihash, block in blocks.items() if multihash not in left}, "has only that one")
        await w.later(hours=7)
        assert (await w.pin(cid, "a")).state is State.PINNED


async def test_what_is_left_of_a_paid_closure_stays_when_its_first_block_is_the_lost_one(
    autojump_clock: MockClock,
) -> None:
    """Catches: a fetch that found nothing at all is given up, and what lies below the lost block goes with it."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid, "a")
        w.lose(cid.multihash)
        w.fetcher.peers.clear()
        await w.pay(cid, PRICE, "b")
        await w.mine(3)
        await w.later(hours=3)
        assert [each.failure for each in [await w.books.request(cid.key)] if each] == [ErrorCode.NOT_FOUND]
        assert await w.blocks_on_disk() == set(blocks) - {cid.multihash}
        w.offer({cid.multihash: blocks[cid.multihash]}, "has only that one")
        await w.later(hours=7)
        assert {(await w.pin(cid, name)).state for name in "ab"} == {State.PINNED}


async def test_what_came_of_a_paid_closure_stays_for_the_next_try(autojump_clock: MockClock) -> None:
    """Paid when nothing of it was here any more. One peer gives all but one block, another that one, after a restart:
    what nothing references is swept there."""
    cid, blocks = content.file(content.noise(600_000))
    last = [multihash for multihash in blocks if multihash != cid.multihash][-1]
    came = {multihash: block for multihash, block in blocks.items() if multihash != last}
    world = World()
    async with world.running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.pass_time(hours=30)
        w.blocks.freed.clear()
        w.fetcher.peers.clear()
        w.offer(came, "has all but one")
        await w.pay(cid, amount)
        await w.mine(3)
        await w.later(minutes=5)
        assert await w.blocks_on_disk() == set(came)
        w.fetcher.peers.clear()
    async with world.running() as w:
        await w.pass_time(hours=2)
        assert (await w.blocks_on_disk(), w.in_quarantine()) == (set(came), set())
        w.offer({last: blocks[last]}, "has only that one")
        await w.pass_time(hours=7)
        assert (await w.pin(cid)).state is State.PINNED


async def test_what_never_came_back_is_let_go_when_its_term_is_over_and_stays_owed(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with World(terms=terms(quote_life=timedelta(hours=1))).running() as w:
        w.offer(blocks)
        await w.pinned(cid, "a")
        await lose_one(w, cid, blocks)
        await w.months_later(245)
        assert w.hear() == []
        for name in ("a", "b"):
            owed = await w.pin(cid, name)
            assert (owed.state, owed.reason) == (State.OWED, "its term ended before the content could be had")
        assert await w.blocks_on_disk() == set()
        assert await w.books.held(cid.key) == []
        assert [record.released_at is None for record in await w.receipts.all()] == [False]


async def test_a_reminder_already_said_is_not_said_again_when_the_lost_block_is_back(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid, "a")
        await w.months_later(220)
        assert w.hear_statuses() == ["EXPIRING-CID"]
        await lose_one(w, cid, blocks)
        await w.months_later(1)
        w.offer(blocks, "another peer")
        await w.months_later(1)
        assert w.hear_statuses().count("EXPIRING-CID") == 0
        await w.months_later(14)
        assert [(m["nameId"], m["remainingDays"]) for m in w.hear() if m["status"] == "EXPIRING-CID"] == [("a", 7)]


async def test_what_was_on_credit_when_its_block_was_lost_waits_for_its_proof_like_any_payment(
    autojump_clock: MockClock,
) -> None:
    """Nothing is owed that is not proven; proven again, it has its term."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        txid = await w.pinned(cid, "a")
        await w.chain.reorg(3, drop=[txid])
        await w.settle()
        assert (await w.pin(cid, "a")).state is State.CREDIT
        await lose_one(w, cid, blocks)
        assert (await w.pin(cid, "a")).state is State.VANISHED
        assert (await w.pin(cid, "b")).state is State.OWED
        assert len(await w.blocks_on_disk()) == len(blocks) - 1
        [receipt] = await w.receipts.all()
        assert receipt.released_at is not None
        await w.pay(cid, PRICE, "a")
        await w.mine(3)
        w.offer(blocks, "another peer")
        await w.later(hours=6)
        assert {(await w.pin(cid, name)).state for name in "ab"} == {State.PINNED}


async def test_a_reorg_that_takes_the_payment_of_an_owed_pin_back_leaves_nothing_behind(
    autojump_clock: MockClock,
) -> None:
    """Catches: what was kept for it is held in the books for ever, in nobody's name."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        w.lose(next(multihash for multihash in blocks if multihash != cid.multihash))
        w.fetcher.peers.clear()
        txid = await w.pay(cid, PRICE, "a")
        await w.mine(3)
        assert (await w.pin(cid, "a")).state is State.OWED
        await w.later(hours=5)
        assert len(await w.blocks_on_disk()) == len(blocks) - 1
        await w.chain.reorg(3, drop=[txid])
        await w.later(hours=2)
        assert (await w.pin(cid, "a")).state is State.VANISHED
        assert await w.blocks_on_disk() == set()
        assert await w.books.held(cid.key) == []


async def test_a_clock_that_jumped_frees_nothing_of_what_is_owed(autojump_clock: MockClock) -> None:
    """Catches: by our clock alone its term was over: what is left of it went, and it was never tried again."""
    cid, blocks = content.file(content.noise(600_000))
    async with World(terms=terms(quote_life=timedelta(hours=1))).running() as w:
        w.offer(blocks)
        await w.pinned(cid, "a")
        await lose_one(w, cid, blocks)
        await w.later(hours=2)
        left = await w.blocks_on_disk()
        assert len(left) == len(blocks) - 1
        w.clock.moved = timedelta(days=1000)
        w.life.ring()
        await w.later(hours=12)
        assert await w.blocks_on_disk() == left
        assert [record.released_at for record in await w.receipts.all()] == [None]
        w.clock.moved = timedelta(0)
        w.offer(blocks, "another peer")
        await w.mine(1)
        await w.later(hours=7)
        assert {(await w.pin(cid, name)).state for name in "ab"} == {State.PINNED}
