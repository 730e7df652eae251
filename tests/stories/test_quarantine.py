"""What is freed waits: it comes back when it is owed, and is not there for anybody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.domain.identities import NameBytes
from pinning_worker.domain.pin import PinKey, State
from pinning_worker.ports.books import Change
from pinning_worker.ports.world import DiskFull, Trouble
from pinning_worker.steps import shelf
from tests import content
from tests.stories.world import World, terms


async def test_a_late_payer_gets_what_lapsed_though_nobody_has_it_any_more(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        await w.pass_time(hours=30)
        assert (await w.blocks_on_disk(), w.in_quarantine()) == (set(), set(blocks))
        w.fetcher.peers.clear()
        await w.pay(cid, amount)
        await w.mine(3)
        await w.later(minutes=2)
        assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


async def test_an_ended_pin_waits_seven_days_and_is_not_said_to_be_kept(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.months_later(245)
        assert (await w.blocks_on_disk(), w.in_quarantine()) == (set(), set(blocks))
        w.fetcher.peers.clear()
        await w.months_later(5)
        assert w.in_quarantine() == set(blocks)
        await w.months_later(5)
        assert w.in_quarantine() == set()
        w.hear()
        await w.say(f"NEW-CID:{cid}")
        await w.later(minutes=2)
        assert "CID-PINNED-WITH-NAME" not in w.hear_statuses()


async def test_a_clock_that_runs_ahead_alone_empties_no_quarantine(autojump_clock: MockClock) -> None:
    """Catches: one clock, set a year ahead for a minute, ends every wait."""
    cid, blocks = content.file(b"one clock")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.months_later(245)
        await w.later(days=300)
        assert w.in_quarantine() == set(blocks)


async def test_before_the_chain_has_been_read_nothing_leaves_the_shelf(autojump_clock: MockClock) -> None:
    """Catches: a term that was renewed, as older books do not know, ends at the start."""
    cid, blocks = content.file(content.noise(600_000))
    world = World()
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(cid)
    world.clock.moved = timedelta(days=260)
    await world.chain.mine(11)
    world.chain.read = False
    life = world.life = world.new_life()
    world.chain.listener = life
    async with trio.open_nursery() as nursery:
        await nursery.start(life.run)
        await world.later(days=3)
        await world.mine(1)
        assert (await world.pin(cid)).state in (State.PINNED, State.EXPIRING)
        assert await world.blocks_on_disk() == set(blocks)
        world.chain.read = True
        await world.mine(1)
        await world.later(minutes=10)
        assert (await world.pin(cid)).state is State.RELEASED
        nursery.cancel_scope.cancel()


async def test_orphans_beyond_what_a_crash_leaves_are_held_until_released(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: the wrong books free the whole store in the first second."""
    monkeypatch.setattr(shelf, "SWEEP_LEAST", 100_000)
    _, blocks = content.file(content.noise(600_000))
    world = World()
    for multihash, block in blocks.items():
        await world.blocks.put(multihash, block)
    with capture_logs() as logs:
        async with world.running() as w:
            await w.later(days=2)
            assert await w.blocks_on_disk() == set(blocks)
            held = [line for line in logs if line["event"] == "blocks.held"]
            assert held
            assert (held[0]["blocks"], held[0]["log_level"]) == (len(blocks), "error")
            w.life.shelf.release = released = Released(700_000)
            await w.later(hours=1)
            assert (await w.blocks_on_disk(), w.in_quarantine()) == (set(), set(blocks))
            assert released.bytes() == 0, "it was for one sweep"


@dataclass
class Released:
    most: int

    def bytes(self) -> int:
        return self.most

    def spend(self) -> None:
        self.most = 0


async def test_unpaid_blocks_push_out_nothing_that_was_paid(autojump_clock: MockClock) -> None:
    """Catches: a stranger fills the quarantine with what he never pays, and the paid blocks go before their day."""
    paid, paid_blocks = content.file(content.noise(300_000, 1))
    world = World(terms=terms(quote_life=timedelta(hours=1)))
    world.blocks.most_unpaid = 500_000
    async with world.running() as w:
        w.offer(paid_blocks)
        await w.pinned(paid)
        await w.months_later(245)
        for number in range(2, 8):
            cid, blocks = content.file(content.noise(300_000, number))
            w.offer(blocks)
            await w.quoted(cid)
            await w.later(hours=2)
        assert set(paid_blocks) <= w.in_quarantine()
        unpaid = [each for each in await w.blocks.quarantined() if not each.was_paid]
        assert sum(each.bytes for each in unpaid) <= 500_000


async def test_the_last_name_of_a_root_leaves_its_blocks_to_quarantine_and_a_new_payment_brings_them_back(
    autojump_clock: MockClock,
) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.months_later(245)
        w.fetcher.peers.clear()
        w.hear()
        await w.pay(cid, 3_397_411, "art/2")
        await w.mine(3)
        await w.later(minutes=5)
        pin = await w.books.pin(PinKey(cid.key, NameBytes(b"art/2")))
        assert pin is not None
        assert pin.state is State.PINNED
        assert await w.blocks_on_disk() == set(blocks)


async def test_one_failed_question_to_the_books_ends_no_tidying(autojump_clock: MockClock) -> None:
    """Catches: a flag that stays set, and nothing is purged or swept until the next start."""
    cid, blocks = content.file(content.noise(600_000))
    async with World(terms=terms(quote_life=timedelta(hours=1))).running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        await w.later(hours=3)
        ask = w.books.active_requests

        async def locked(*, paid_for: bool) -> int:
            w.books.active_requests = ask  # type: ignore[method-assign]  # it fails once
            raise Trouble("the database is locked")

        w.books.active_requests = locked  # type: ignore[method-assign]  # as a database that is busy, once
        w.life.ring()
        await w.months_later(20)
        assert w.in_quarantine() == set()


async def test_while_a_receipt_promises_what_no_payment_was_found_for_nothing_is_swept(
    autojump_clock: MockClock,
) -> None:
    """Catches: books made anew with an address too few, and the blocks paid at the other one are swept as orphans."""
    cid, blocks = content.file(content.noise(600_000))
    world = World()
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(cid)
    world.books = MemoryBooks()
    world.chain = MemoryChain(world.clock)  # it shows no payment to the addresses that are watched
    with capture_logs() as logs:
        async with world.running() as w:
            await w.later(days=3)
            assert await w.blocks_on_disk() == set(blocks)
            assert any(line["event"] == "blocks.held" and line.get("receipts") == 1 for line in logs)
            await w.months_later(245)
            await w.later(hours=2)
            assert await w.blocks_on_disk() == set(), "the promised term is over"


async def test_whoever_asks_for_what_is_held_for_a_receipt_and_does_not_pay_frees_nothing_of_it(
    autojump_clock: MockClock,
) -> None:
    """Catches: a sweep holds what was paid at a forgotten address, and the lapse of a stranger's quote frees it."""
    cid, blocks = content.file(content.noise(600_000))
    world = World()
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(cid)
    world.books = MemoryBooks()
    world.chain = MemoryChain(world.clock)
    async with world.running() as w:
        await w.quoted(cid)
        await w.later(days=3)
        assert await w.blocks_on_disk() == set(blocks)


async def test_what_could_not_be_freed_is_freed_later_however_much_it_is(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a full disk at the wrong moment; the end is told to nobody, and the blocks lie there until a restart."""
    monkeypatch.setattr(shelf, "SWEEP_LEAST", 100_000)
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        free = w.blocks.free

        async def full(*_: object, **__: object) -> None:
            raise DiskFull("no room for the folder of the day")

        w.blocks.free = full  # type: ignore[method-assign]  # as a full disk
        await w.months_later(242)
        w.hear()
        await w.months_later(1)
        assert (await w.pin(cid)).state is State.RELEASED
        assert await w.blocks_on_disk() == set(blocks)
        assert "EXPIRED-CID" in w.hear_statuses()
        w.blocks.free = free  # type: ignore[method-assign]  # there is room again
        await w.later(hours=2)
        assert (await w.blocks_on_disk(), w.in_quarantine()) == (set(), set(blocks))


async def test_what_a_fetch_gives_up_before_the_chain_has_been_read_stays_on_the_shelf(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: whoever asks in the first moments of a recovered worker for what was paid frees it by a failed fetch."""
    monkeypatch.setattr(shelf, "SWEEP_LEAST", 0)  # they are held
    _, blocks = content.file(content.noise(600_000))
    world = World()
    for multihash, block in blocks.items():
        await world.blocks.put(multihash, block)
    async with world.running() as w:
        w.chain.read = False
        assert await w.life.shelf.store_and_free(Change(), tuple(blocks), was_paid=False)
        assert await w.blocks_on_disk() == set(blocks)
        w.chain.read = True
        await w.later(hours=2)
        assert w.in_quarantine() == set(blocks)
