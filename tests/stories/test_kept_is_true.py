""" "Kept" is true now: before it is said for the first time in a run, and after a read that found a block broken."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from pinning_worker.domain.pin import State
from tests import content
from tests.stories.world import World


@pytest.mark.parametrize("rot", [False, True], ids=["missing", "rotten"])
async def test_a_block_lost_while_the_worker_was_down_is_owed_before_anything_is_said_of_it(
    autojump_clock: MockClock, rot: bool
) -> None:
    cid, blocks = content.file(content.noise(600_000))
    world = World()
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        w.lose(next(m for m in blocks if m != cid.multihash), rot=rot)
        w.fetcher.peers.clear()
    async with world.running() as w:
        await w.say(f"NEW-CID:{cid}")
        assert "CID-PINNED-WITH-NAME" not in w.hear_statuses()
        assert (await w.pin(cid)).state is State.OWED
        w.offer(blocks, "another peer")
        await w.later(hours=6)
        assert "CID-PINNED-WITH-NAME" in w.hear_statuses()
        assert (await w.pin(cid)).state is State.PINNED


async def test_what_nobody_asks_about_is_compared_in_the_background(autojump_clock: MockClock) -> None:
    cids = []
    world = World()
    async with world.running() as w:
        for number in range(5):
            cid, blocks = content.file(content.noise(300_000, number))
            w.offer(blocks)
            await w.pinned(cid)
            cids.append((cid, blocks))
        w.lose(next(iter(cids[3][1])))
        w.fetcher.peers.clear()
    async with world.running() as w:
        await w.later(minutes=1)
        states = [(await w.pin(cid)).state for cid, _ in cids]
        assert states == [State.PINNED] * 3 + [State.OWED] + [State.PINNED]
        w.offer(cids[3][1], "another peer")
        await w.later(hours=6)
        assert (await w.pin(cids[3][0])).state is State.PINNED


async def test_a_read_that_finds_a_block_broken_makes_it_owed_at_once_to_all_that_hold_it(
    autojump_clock: MockClock,
) -> None:
    """Catches: a peer is served rot again and again, and nobody is told."""
    image, image_blocks = content.file(content.noise(300_000))
    async with World().running() as w:
        w.offer(image_blocks)
        await w.pinned(image, "a")
        await w.pay(image, 3_397_411, "b")
        await w.mine(3)
        w.hear()
        broken = next(iter(image_blocks))
        w.lose(broken, rot=True)
        assert await w.blocks.get(broken) is None, "what a peer would be served"
        await w.settle()
        assert {(await w.pin(image, name)).state for name in "ab"} <= {State.OWED, State.CONFIRMED, State.PINNED}
        await w.later(minutes=5)
        assert await w.blocks.get(broken) == image_blocks[broken]
        assert {(await w.pin(image, name)).state for name in "ab"} == {State.PINNED}
        said = w.hear_statuses()
        assert said.count("CID-PINNED-WITH-NAME") == 2


async def test_a_broken_block_that_no_pin_holds_is_asked_for_again_or_forgotten(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        broken = next(iter(blocks))
        w.lose(broken, rot=True)
        assert await w.blocks.get(broken) is None
        await w.later(minutes=1)
        assert await w.blocks.get(broken) == blocks[broken]
        await w.pay(cid, amount)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED
