""" "Kept" is true now: before it is said for the first time in a run, and after a read that found a block broken."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from trio.testing import MockClock

from pinning_worker.domain.content.cid import RAW, Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import State
from pinning_worker.ports import Change, Trouble
from pinning_worker.steps import checking
from pinning_worker.steps.checking import SAMPLE
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


async def test_a_broken_block_is_owed_by_every_root_that_holds_it(autojump_clock: MockClock) -> None:
    """Catches: the renewal of one root finds it, and the other goes on as kept."""
    whole, blocks = content.file(content.noise(600_000))
    leaf = next(multihash for multihash in blocks if multihash != whole.multihash)
    part = Cid(1, RAW, leaf)
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(whole, "whole")
        await w.pinned(part, "part")
        w.fetcher.peers.clear()
        w.lose(leaf, rot=True)
        await w.pay(whole, 3_397_411, "whole")
        await w.mine(3)
        await w.later(minutes=1)
        w.hear()
        await w.say(f"NEW-CID:{part}")
        assert "CID-PINNED-WITH-NAME" not in w.hear_statuses()
        assert (await w.pin(part, "part")).state is State.OWED


async def test_blocks_that_go_missing_while_it_runs_are_missed_within_a_day(autojump_clock: MockClock) -> None:
    """Catches: rm -rf, or a disk unmounted under it, and the worker says "kept" until its next start."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        w.fetcher.peers.clear()
        for multihash in blocks:
            w.lose(multihash)
        await w.later(days=2)
        assert (await w.pin(cid)).state is State.OWED


async def test_a_disk_that_fails_for_one_root_keeps_no_other_waiting(autojump_clock: MockClock) -> None:
    cids = []
    world = World()
    async with world.running() as w:
        for number in range(3):
            cid, blocks = content.file(content.noise(600_000, number))
            w.offer(blocks)
            await w.pinned(cid)
            cids.append((cid, blocks))
        w.fetcher.peers.clear()
        for multihash in cids[2][1]:
            w.lose(multihash)
    failing, sizes = set(cids[0][1]), world.blocks.sizes

    async def out_of_reach(multihashes: Sequence[Multihash]) -> dict[Multihash, int]:
        if failing.intersection(multihashes):
            raise Trouble("out of reach: Permission denied")
        return await sizes(multihashes)

    world.blocks.sizes = out_of_reach  # type: ignore[method-assign]  # a file that root put back, as the disk tells it
    async with world.running() as w:
        await w.later(minutes=5)
        states = [(await w.pin(cid)).state for cid, _ in cids]
        assert states == [State.PINNED, State.PINNED, State.OWED]


def rotten(data: bytes) -> bytes:
    """As long as it was, and another."""
    return bytes(byte ^ 1 for byte in data)


async def test_rot_that_leaves_the_length_is_found_by_the_sample_and_then_everywhere(autojump_clock: MockClock) -> None:
    """Catches: the hashes are not looked at; or only those that were drawn, and the rest is called kept again."""
    cid, blocks = content.file(content.noise(2_000_000))
    assert len(blocks) > SAMPLE
    world = World()
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        for multihash, data in blocks.items():
            w.blocks.data[multihash] = rotten(data)
        w.fetcher.peers.clear()
    async with world.running() as w:
        await w.later(minutes=1)
        assert (await w.pin(cid)).state is State.OWED
        assert await w.blocks_on_disk() == set(), "not one of them is left to be found by a peer"


async def test_a_block_cut_short_is_found_however_many_there_are(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: the books' sizes are not compared, and a draw of four among many finds nothing."""
    monkeypatch.setattr(checking, "SAMPLE", 0)
    cid, blocks = content.file(content.noise(2_000_000))
    world = World()
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        short = next(iter(blocks))
        w.blocks.data[short] = blocks[short][:-1]
        w.fetcher.peers.clear()
    async with world.running() as w:
        await w.say(f"NEW-CID:{cid}")
        assert (await w.pin(cid)).state is State.OWED


async def test_a_pin_that_holds_no_block_is_not_kept(autojump_clock: MockClock) -> None:
    """Catches: books that lost their references call it kept, for nothing of nothing is missing."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        w.fetcher.peers.clear()
        w.blocks.data.clear()
        assert await w.books.commit(Change(release=(cid.key,)))
        w.life.checking.whole.note_damaged(cid.key)
        assert not await w.life.checking.is_kept(cid.key)
        assert (await w.pin(cid)).state is State.OWED


async def test_reads_that_find_ever_more_broken_blocks_fill_no_memory(autojump_clock: MockClock) -> None:
    found = World().life.checking
    for number in range(2 * checking.MOST_BROKEN):
        found.note_broken(Multihash(number.to_bytes(4, "big")))
    assert len(found._broken) == checking.MOST_BROKEN
