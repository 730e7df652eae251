"""While the chain is not seen nothing is sold: a payment would not be noticed. What is kept stays kept."""

from __future__ import annotations

from typing import Any

from trio.testing import MockClock

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
