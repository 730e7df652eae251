"""Taken down: a CID on the operator's list is kept as far as nobody can tell, and stands again when it leaves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.domain.content.cid import RAW, Cid, Root
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import State
from pinning_worker.ports import Trouble
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


class List:
    """The operator's list, in his hand."""

    def __init__(self) -> None:
        self.keys: frozenset[bytes] = frozenset()
        self.seen = self.keys

    def read(self) -> frozenset[bytes]:
        self.seen = self.keys
        return self.keys

    def is_changed(self) -> bool:
        return self.keys != self.seen


async def test_what_left_the_list_while_the_database_was_away_is_told_when_it_is_back(
    autojump_clock: MockClock,
) -> None:
    """Catches: the list is applied, telling of it fails, and what is owed is not asked for until hours later."""
    told: list[frozenset[bytes]] = []
    troubles = [Trouble("the database is locked")]
    takedown, listed = TakeDown(MemoryBooks()), List()

    async def changed() -> None:
        if troubles:
            raise troubles.pop()
        told.append(listed.keys)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(takedown.run, listed, changed)
        _, blocks = content.file(b"denied")
        listed.keys = frozenset(Cid(1, RAW, multihash).key for multihash in blocks)
        for _ in range(20_000):  # the list is read in a thread, which knows nothing of this clock
            await trio.sleep(1)
        assert told == [listed.keys], "once"
        nursery.cancel_scope.cancel()


async def test_a_list_that_cannot_be_applied_in_full_withholds_at_once_what_it_names(
    autojump_clock: MockClock,
) -> None:
    """Catches: a database that is away, and what was denied is served until it is back."""
    cid, _ = content.file(b"denied while the database is away")
    books = MemoryBooks()
    takedown = TakeDown(books)

    async def away(multihashes: Collection[Multihash]) -> dict[Multihash, set[Root]]:
        raise Trouble(f"the database was asked for {len(multihashes)}, and is out of reach")

    books.holders = away  # type: ignore[method-assign]  # as a database server that is away
    with pytest.raises(Trouble):
        await takedown.apply(frozenset({cid.key}))
    assert not takedown.serves(cid.multihash)
    assert takedown.is_blocked(cid.key)
    assert takedown.denies(cid)


async def test_denied_is_the_block_though_no_root_holds_it(autojump_clock: MockClock) -> None:
    """Catches: a block that lies on the shelf, of a fetch that goes on, is served though it is on the list."""
    cid, _ = content.file(b"denied and held by nobody")
    takedown = TakeDown(MemoryBooks())
    await takedown.apply(frozenset({cid.key}))
    assert not takedown.serves(cid.multihash)
    assert takedown.denies(Cid(1, 0x71, cid.multihash)), "whatever codec it is asked for with"
