"""While the chain is not seen nothing is sold: a payment would not be noticed. What is kept stays kept."""

from __future__ import annotations

from typing import Any

from trio.testing import MockClock

from pinning_worker.domain.money.payment import Tip
from pinning_worker.domain.pin import State
from tests import content
from tests.stories.world import World

BUSY = {"status": "ERROR", "code": "BUSY", "message": "cannot see the chain at the moment", "retryAfterSeconds": 60}


def busy(cid: object) -> dict[str, Any]:
    return BUSY | {"cid": str(cid)}


async def test_a_new_cid_is_answered_busy_and_nothing_is_fetched(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"a picture")
    async with World().running() as w:
        w.offer(blocks)
        w.chain.seen = False
        await w.say(f"NEW-CID:{cid}")
        assert w.hear() == [busy(cid)]
        await w.later(hours=1)
        assert w.hear() == []
        assert await w.blocks_on_disk() == set()
        w.chain.seen = True
        assert await w.quoted(cid)


async def test_a_standing_quote_is_not_repeated(autojump_clock: MockClock) -> None:
    """Catches: only new content refused, while whoever asks again is told to pay."""
    cid, blocks = content.file(b"a picture")
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        w.chain.seen = False
        await w.say(f"NEW-CID:{cid}")
        await w.later(seconds=3)
        assert w.hear() == [busy(cid)]


async def test_an_answer_that_was_put_off_is_busy_too(autojump_clock: MockClock) -> None:
    """It waits for its two seconds when the chain is lost from sight."""
    cid, blocks = content.file(b"a picture")
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        await w.say(f"NEW-CID:{cid}")
        w.chain.seen = False
        await w.later(seconds=3)
        assert w.hear() == [busy(cid)]


async def test_a_request_from_before_a_restart_waits_until_the_chain_is_seen(autojump_clock: MockClock) -> None:
    """A restarted worker has asked no server yet: whoever waits is fetched for, and answered, once it sees."""
    cid, blocks = content.file(b"a picture")
    w = World()
    async with w.running():
        await w.say(f"NEW-CID:{cid}")
    w.offer(blocks)
    w.chain.seen = False
    async with w.running():
        await w.later(seconds=10)
        assert "ADDING-CID" not in w.hear_statuses()
        assert await w.blocks_on_disk() == set()
        w.chain.seen = True
        w.life.ring()
        await w.settle()
        assert w.hear_statuses()[-1:] == ["ADDING-CID"]


async def test_what_is_owed_is_fetched_all_the_same(autojump_clock: MockClock) -> None:
    """Paid without a quote, and proven: nothing more is sold with it."""
    cid, blocks = content.file(b"a picture")
    async with World().running() as w:
        w.offer(blocks)
        w.chain.seen = False
        await w.pay(cid, 8_000_000)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED
        assert await w.blocks_on_disk() == set(blocks)


async def test_what_is_kept_stays_kept(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"a picture")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        w.chain.seen = False
        await w.later(days=3)
        assert (await w.pin(cid)).state is State.PINNED
        assert await w.blocks_on_disk() == set(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert w.hear() == [busy(cid)]


async def test_who_waits_when_the_chain_is_lost_from_sight_is_told(autojump_clock: MockClock) -> None:
    """Catches: an asker in the queue who hears nothing for as long as the worker is blind."""
    cid, blocks = content.file(b"a picture")
    w = World()
    async with w.running():
        await w.say(f"NEW-CID:{cid}")
    w.hear()
    w.offer(blocks)
    w.chain.seen = False
    async with w.running():
        await w.later(seconds=40)
        assert w.hear()[-1] == busy(cid)
        w.chain.seen = True
        assert await w.quoted(cid)


async def test_what_is_owed_is_fetched_though_a_stranger_asks_for_it(autojump_clock: MockClock) -> None:
    """Catches: one free message makes paid content wait for sight."""
    cid, blocks = content.file(b"a picture")
    w = World()
    async with w.running():
        await w.pay(cid, 8_000_000)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.OWED
        await w.say(f"NEW-CID:{cid}", peer="a stranger")
    w.offer(blocks)
    w.chain.seen = False
    async with w.running():
        await w.later(hours=7)
        assert (await w.pin(cid)).state is State.PINNED
        assert await w.blocks_on_disk() == set(blocks)


async def test_nothing_is_offered_with_a_pin_or_a_reminder(autojump_clock: MockClock) -> None:
    """CID-PINNED-WITH-NAME and EXPIRING-CID carry a renewal to pay for; the reminder is said when the chain is seen."""
    cid, blocks = content.file(b"a picture")
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.chain.seen = False
        await w.pay(cid, amount)
        await w.mine(3)
        assert [said for said in w.hear_statuses() if said != "PAYMENT-SEEN"] == ["ADDED-CID"]
        await w.months_later(days=10)
        assert w.hear_statuses() == []
        w.chain.seen = True
        await w.months_later(days=200)
        w.hear()
        w.chain.seen = False
        await w.months_later(days=10)  # the first reminder falls due after two
        assert w.hear_statuses() == []
        w.chain.seen = True
        await w.later(hours=1)
        assert w.hear_statuses() == ["EXPIRING-CID"]


async def test_what_was_paid_for_in_time_does_not_lapse_before_it_can_be_known(autojump_clock: MockClock) -> None:
    """Blind for longer than a quote lives: the blocks went, and the browser that had them was gone."""
    cid, blocks = content.file(b"a picture")
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.chain.seen, w.chain.listener = False, None
        await w.pay(cid, amount)
        await w.mine(3)
        w.fetcher.peers.clear()
        await w.later(hours=40)
        assert await w.blocks_on_disk() == set(blocks)
        w.chain.seen, w.chain.listener = True, w.life
        await w.chain.tell_everything()
        await w.settle()
        assert (await w.pin(cid)).state is State.PINNED


async def test_headers_that_are_had_anew_take_no_payment_back(autojump_clock: MockClock) -> None:
    """The header file was lost and the first server is far behind: its tip lies below the payment. The pin was put on
    credit, then suspended, and its blocks went."""
    cid, blocks = content.file(b"a picture")
    w = World()
    async with w.running():
        w.offer(blocks)
        await w.pinned(cid)
        await w.mine(200)
    whole = w.chain._blocks
    w.chain._blocks = whole[:1]
    async with w.running():
        for _ in range(150):  # deeper than a pin may be on credit
            w.chain._blocks = whole[: len(w.chain._blocks) + 1]
            await w.life.tip_moved(await tip_of(w), None)
            await w.settle()
        assert (await w.pin(cid)).state is State.PINNED
        w.chain._blocks = whole
        await w.life.tip_moved(await tip_of(w), None)
        await w.settle()
        assert (await w.pin(cid)).state is State.PINNED
        assert await w.blocks_on_disk() == set(blocks)


async def test_headers_that_are_had_anew_and_differ_do(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"a picture")
    w = World()
    async with w.running():
        w.offer(blocks)
        await w.pinned(cid)
    w.chain._blocks = w.chain._blocks[:1]
    async with w.running():
        await w.mine(4)
        assert (await w.pin(cid)).state is State.CREDIT


async def tip_of(w: World) -> Tip:
    tip = await w.chain.tip()
    assert tip is not None
    return tip
