"""A fault of ours in one root's work costs that root's work, and never the worker twice."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.memory.crash_notes import MemoryCrashNotes
from pinning_worker.adapters.memory.network import MemoryFetcher
from pinning_worker.domain.content.cid import Cid, cid_text
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.identities import NameBytes, PeerId
from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.pin import PinKey, State
from pinning_worker.domain.topic.requests import Ask
from pinning_worker.ports import Fetched
from pinning_worker.steps.crashes import SET_ASIDE, Crashes, work_name
from tests import content
from tests.stories.world import World, terms

ART, ART_BLOCKS = content.file(b"the art that meets a bug")
NEXT, NEXT_BLOCKS = content.file(b"the next one")


class FetcherWithABug(MemoryFetcher):
    async def fetch(self, root: Cid, **named: Any) -> Fetched:
        if root == ART:
            raise KeyError("a detail that is nobody's business")
        return await MemoryFetcher.fetch(self, root, **named)


class BooksWithABug(MemoryBooks):
    is_mended = False

    async def payments_of(self, key: PinKey) -> list[Payment]:
        if key.root == ART.key and not self.is_mended:
            raise ZeroDivisionError
        return [*await super().payments_of(key)]


def world_with(fetcher: type[MemoryFetcher] = MemoryFetcher, books: type[MemoryBooks] = MemoryBooks) -> World:
    w = World(books=books(), may_crash=True)
    w.fetcher = fetcher(w.blocks)
    w.offer(ART_BLOCKS | NEXT_BLOCKS)
    return w


async def test_a_fetch_that_crashes_three_times_is_set_aside_and_the_rest_goes_on(autojump_clock: MockClock) -> None:
    w = world_with(FetcherWithABug)
    async with w.running():
        for reference in ("reference q1", "reference q2", "reference q3"):
            await w.say(f"NEW-CID:{ART}")
            assert [(told["code"], told["message"]) for told in w.hear()] == [("INTERNAL", reference)]
        await w.say(f"NEW-CID:{ART}")
        assert [(told["code"], told["message"]) for told in w.hear()] == [("INTERNAL", SET_ASIDE)]
        await w.pinned(NEXT)
        assert (await w.pin(NEXT)).state is State.PINNED
    assert w.crash_notes.crashed == [f"fetch {ART}"] * 3


async def test_paid_content_whose_steps_crash_keeps_its_blocks_and_its_place_in_the_books(
    autojump_clock: MockClock,
) -> None:
    w = world_with(books=BooksWithABug)
    async with w.running():
        await w.pay(ART, await w.quoted(ART))
        await w.pinned(NEXT)
        await w.months_later(10)
        assert w.crash_notes.crashed == [work_name("judge", PinKey(ART.key, NameBytes(b"art/1")))] * 3
        assert (await w.pin(NEXT)).state is State.PINNED
        assert set(ART_BLOCKS) <= await w.blocks_on_disk()


async def test_what_is_owed_and_crashes_whenever_it_is_fetched_is_set_aside_too(autojump_clock: MockClock) -> None:
    w = world_with()
    async with w.running():
        await w.pinned(ART)
        await w.pinned(NEXT, "art/2")
        w.lose(ART.multihash)
    w.fetcher = FetcherWithABug(w.blocks, peers=w.fetcher.peers)
    async with w.running():
        await w.later(days=3)
        assert (await w.pin(ART)).state is State.OWED
        assert (await w.pin(NEXT, "art/2")).state is State.PINNED
    assert w.crash_notes.crashed == [f"fetch {ART}"] * 3


async def test_what_was_set_aside_is_served_once_the_fault_is_mended(autojump_clock: MockClock) -> None:
    w = world_with(books=BooksWithABug)
    async with w.running():
        await w.pay(ART, await w.quoted(ART))
        await w.mine(3)
        await w.later(minutes=10)
        assert (await w.pin(ART)).state is State.SEEN
    assert isinstance(w.books, BooksWithABug)
    w.books.is_mended, w.crash_notes = True, type(w.crash_notes)()
    async with w.running():
        await w.later(minutes=1)
        assert (await w.pin(ART)).state is State.PINNED


async def test_a_root_at_which_the_worker_dies_is_set_aside_and_the_innocent_beside_it_is_not(
    autojump_clock: MockClock,
) -> None:
    """As if the process was killed for its memory while it fetched: the notes tell the next run what it was at."""
    w = world_with()
    w.fetcher.seconds_per_block = 3600  # both fetches wait for their blocks
    async with w.running():
        await w.say(f"NEW-CID:{ART}")
        await w.say(f"NEW-CID:{NEXT}")
    for _ in range(2):
        w.crash_notes.die()
        async with w.running():
            await w.settle()
    w.crash_notes.die()
    counts = w.crash_notes.counts()
    assert sorted(counts) == sorted([f"fetch {ART}", f"fetch {NEXT}"])
    assert sorted(counts.values()) == [2, 3], "the third death was one's alone"
    guilty = next(name for name, count in counts.items() if count == 3).split()[1]
    w.hear()
    async with w.running():
        assert [(told["cid"], told["code"]) for told in w.hear()] == [(guilty, "INTERNAL")]
        request = await w.books.request(ART.key if guilty == cid_text(ART.key) else NEXT.key)
        assert request is not None
        assert (request.state, request.failure, request.reason) == (State.REFUSED, ErrorCode.INTERNAL, SET_ASIDE)


@pytest.mark.parametrize("kind", ["lapse", "step", "check"])
def test_a_root_is_set_aside_as_soon_as_one_kind_of_its_work_is(kind: str) -> None:
    notes = MemoryCrashNotes()
    crashes = Crashes(notes)
    for _ in range(3):
        assert not crashes.is_aside(ART.key)
        notes.begin(work_name(kind, ART.key))
        notes.end(work_name(kind, ART.key), crashed=True)
    assert crashes.is_aside(ART.key)
    assert not crashes.is_aside(NEXT.key)


async def test_what_crashed_twice_and_waits_to_go_alone_keeps_no_place_from_others(autojump_clock: MockClock) -> None:
    """Catches: two deaths beside slow fetches, and for as long as the first of these takes nobody else is served."""
    w = World(terms=terms(fetches_at_once=3), may_crash=True)
    w.offer(ART_BLOCKS | NEXT_BLOCKS)
    async with w.running():
        await w.pinned(ART)
        w.lose(ART.multihash)
    w.fetcher.seconds_per_block = 3600
    slow = [content.file(b"slow %d" % number) for number in range(2)]
    for _ in range(2):
        async with w.running():
            for number, (cid, blocks) in enumerate(slow):
                w.offer(blocks)
                await w.life.asked(Ask(cid, str(cid)), PeerId("stranger"), PeerId("stranger"), f"203.0.113.{number}")
            await w.settle()
        w.crash_notes.die()
    assert sorted(w.crash_notes.counts()) == sorted(f"fetch {cid}" for cid in (ART, *(cid for cid, _ in slow)))
    async with w.running():
        await w.later(seconds=1)
        begun = len(w.fetcher.fetches)
        await w.life.asked(Ask(NEXT, str(NEXT)), PeerId("honest"), PeerId("honest"), "198.51.100.1")
        await w.settle()
        assert w.fetcher.fetches[-1] == NEXT
        assert len(w.fetcher.fetches) == begun + 1, "of the others one at a time"
