"""What is told, and when: at once, again before it lapses, no more when it is kept no more. The clock is trio's own."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import State
from pinning_worker.ports import Change, Trouble
from pinning_worker.steps.providing import AGAIN_SECONDS, LOOK_SECONDS, RETRY_SECONDS, Kept, Providing
from tests.contract import samples

HOUR = 3600.0
A, NEW = Multihash(b"a"), Multihash(b"new")


class Dht:
    """Writes down who was told what, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, Multihash]] = []
        self.ended: list[Multihash] = []
        self.listeners = 1

    async def provide(self, key: Multihash) -> int:
        self.told.append((trio.current_time(), key))
        return self.listeners

    def provide_no_more(self, key: Multihash) -> None:
        self.ended.append(key)

    def times(self, key: Multihash) -> list[float]:
        return [at for at, told in self.told if told == key]


class Books:
    def __init__(self, *kept: Multihash) -> None:
        self.kept = set(kept)
        self.away = False

    async def __call__(self) -> set[Multihash]:
        if self.away:
            raise Trouble("away")
        return set(self.kept)


async def test_it_is_told_again_every_day_as_long_as_it_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    dht, books = Dht(), Books(A)
    providing, begin = Providing(dht, books), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(providing.run)
        await trio.sleep(50 * HOUR)
        gaps = [second - first for first, second in zip(dht.times(A), dht.times(A)[1:], strict=False)]
        assert dht.times(A)[0] == begin
        assert len(gaps) == 2
        assert all(AGAIN_SECONDS <= gap < 24 * HOUR for gap in gaps)
        books.kept.clear()
        providing.ring()
        await trio.sleep(50 * HOUR)
        nursery.cancel_scope.cancel()
    assert len(dht.told) == 3
    assert dht.ended == [b"a"]


async def test_what_is_new_does_not_wait_behind_what_is_told_again(autojump_clock: trio.testing.MockClock) -> None:
    dht, books = Dht(), Books(*(Multihash(b"%d" % number) for number in range(10_000)))
    providing = Providing(dht, books)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(providing.run)
        await trio.sleep(100.5)
        books.kept.add(NEW)
        providing.ring()
        rung = trio.current_time()
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert dht.times(NEW)[0] - rung < 2
    assert 90 < len(dht.told) < 120, "one a second, not all at once"


async def test_what_nobody_heard_is_told_again_soon(autojump_clock: trio.testing.MockClock) -> None:
    dht, books = Dht(), Books(A)
    dht.listeners = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Providing(dht, books).run)
        await trio.sleep(RETRY_SECONDS * 1.5)
        dht.listeners = 1
        await trio.sleep(RETRY_SECONDS * 10)
        nursery.cancel_scope.cancel()
    assert len(dht.told) == 3


async def test_books_that_are_away_are_asked_again(autojump_clock: trio.testing.MockClock) -> None:
    dht, books = Dht(), Books(A)
    books.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Providing(dht, books).run)
        await trio.sleep(10)
        books.away = False
        await trio.sleep(LOOK_SECONDS)
        nursery.cancel_scope.cancel()
    assert len(dht.told) == 1
    assert dht.ended == []


STANDS = (State.PINNED, State.EXPIRING, State.CREDIT)


@pytest.mark.parametrize("state", [*STANDS, State.CONFIRMED, State.SUSPENDED, State.RELEASED])
async def test_kept_are_pins_that_stand_and_the_images_that_they_name(state: State) -> None:
    books = MemoryBooks()
    named = samples.request(references=(samples.IMAGE,), state=State.LAPSED)
    assert await books.commit(Change(requests=(named,), pins=(samples.pin(state=state),)))
    wanted = {cid[2:] for cid in (samples.ROOT, samples.IMAGE)} if state in STANDS else set()
    assert await Kept(books)() == wanted
