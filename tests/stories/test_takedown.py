"""Taken down: a CID on the operator's list is kept as far as nobody can tell, and stands again when it leaves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trio.testing import MockClock

from pinning_worker.domain.cid import Cid
from pinning_worker.domain.pin import State
from pinning_worker.steps.takedown import TakeDown
from tests import content
from tests.stories.world import World, terms


@asynccontextmanager
async def a_world_with_a_list() -> AsyncIterator[tuple[World, TakeDown]]:
    world = World()
    takedown = TakeDown(world.books)
    world.terms = terms(denied=takedown.denies, blocked=takedown.is_blocked)
    async with world.running() as w:
        yield w, takedown


async def deny(w: World, takedown: TakeDown, *cids: Cid) -> None:
    assert await takedown.apply(frozenset(cid.key for cid in cids))
    await w.life.denylist_changed()
    await w.settle()


async def test_a_pinned_cid_on_the_list_is_denied_and_not_served_and_stands_again_afterwards(
    autojump_clock: MockClock,
) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with a_world_with_a_list() as (w, takedown):
        w.offer(blocks)
        await w.pinned(cid)
        before = await w.pin(cid)
        await deny(w, takedown, cid)
        assert not any(map(takedown.serves, blocks)), "neither the root nor its parts"
        await w.say(f"NEW-CID:{cid}")
        assert [(m["status"], m.get("code")) for m in w.hear()] == [("ERROR", "DENIED")]
        assert await w.pin(cid) == before, "nothing is stored of it: its term runs on"
        assert await w.blocks_on_disk() == set(blocks)

        await deny(w, takedown)
        assert all(map(takedown.serves, blocks))
        await w.later(seconds=3)
        await w.say(f"NEW-CID:{cid}")
        assert "CID-PINNED-WITH-NAME" in w.hear_statuses()


async def test_what_names_a_denied_image_is_blocked_with_it_and_what_others_hold_is_served(
    autojump_clock: MockClock,
) -> None:
    metadata, image, blocks = content.nft(content.noise(300_000))
    shared, shared_blocks = content.file(content.noise(300_000, 2))
    all_blocks = blocks | shared_blocks
    folder = content.folder({"a.bin": (shared, 300_000)}, all_blocks)
    async with a_world_with_a_list() as (w, takedown):
        w.offer(all_blocks)
        await w.pinned(metadata, "a")
        await w.pinned(shared, "b")
        await w.pinned(folder, "c")
        await deny(w, takedown, image, folder)
        assert takedown.is_blocked(metadata.key)
        assert not takedown.serves(image.multihash)
        assert not takedown.serves(folder.multihash)
        assert all(map(takedown.serves, shared_blocks)), "another pin, that nobody denies, holds them"
        for asked in (metadata, image, folder):
            w.hear()
            await w.later(seconds=3)
            await w.say(f"NEW-CID:{asked}")
            assert "CID-PINNED-WITH-NAME" not in w.hear_statuses()
        await w.later(seconds=3)
        await w.say(f"NEW-CID:{shared}")
        assert "CID-PINNED-WITH-NAME" in w.hear_statuses()


async def test_a_payment_for_what_is_denied_is_kept_in_silence_and_announced_to_nobody(
    autojump_clock: MockClock,
) -> None:
    cid, blocks = content.file(b"quoted, then denied, then paid")
    async with a_world_with_a_list() as (w, takedown):
        w.offer(blocks)
        amount = await w.quoted(cid)
        await deny(w, takedown, cid)
        await w.pay(cid, amount)
        await w.mine(3)
        assert not {"ADDED-CID", "CID-PINNED-WITH-NAME"} & set(w.hear_statuses())
        assert (await w.pin(cid)).state is State.PINNED, "its term runs, and it stands when the list changes"


async def test_what_is_owed_and_denied_is_fetched_when_it_leaves_the_list(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    async with a_world_with_a_list() as (w, takedown):
        w.offer(blocks)
        await w.pinned(cid)
        await deny(w, takedown, cid)
        w.lose(next(iter(blocks)), rot=True)
        await w.blocks.get(next(iter(blocks)))
        await w.later(days=2)
        assert (await w.pin(cid)).state is State.OWED
        await deny(w, takedown)
        await w.later(minutes=1)
        assert (await w.pin(cid)).state is State.PINNED


async def test_a_blocked_pin_ends_with_its_term(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"ends all the same")
    async with a_world_with_a_list() as (w, takedown):
        w.offer(blocks)
        await w.pinned(cid)
        await deny(w, takedown, cid)
        w.hear()
        await w.months_later(245)
        assert (await w.pin(cid)).state is State.RELEASED
        assert w.hear_statuses() == ["EXPIRED-CID"], "no reminder offers to renew it"
