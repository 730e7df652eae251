"""The database or the disk is away for a while: what was begun is put off, and the worker lives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import Pin, Request, State
from pinning_worker.ports.books import Change
from pinning_worker.ports.world import DiskFull, Trouble
from tests import content
from tests.stories.world import World


class SulkyBooks(MemoryBooks):
    """Refuses to store requests while `trouble` is set."""

    trouble: Trouble | None = None

    async def commit(self, change: Change) -> bool:
        if self.trouble is not None and any(request.state is not State.REQUESTED for request in change.requests):
            raise self.trouble
        return await MemoryBooks.commit(self, change)


@pytest.mark.parametrize("trouble", [Trouble("the database is out of reach"), DiskFull("no room for the database")])
@pytest.mark.parametrize("slow", [0, 3])
async def test_a_fetch_whose_outcome_cannot_be_stored_is_put_off(
    autojump_clock: MockClock, trouble: Trouble, slow: float
) -> None:
    cid, blocks = content.file(b"a database with a bad minute")
    books = SulkyBooks()
    async with World(books=books).running() as w:
        w.fetcher.seconds_per_block = slow
        w.offer(blocks)
        books.trouble = trouble
        await w.say(f"NEW-CID:{cid}")
        await w.later(seconds=45)
        books.trouble = None
        await w.later(minutes=1)
        assert w.hear_statuses()[-1:] == ["ADDING-CID"]


async def test_a_disk_that_fails_one_fetch_is_no_bug_and_the_asker_may_come_again(autojump_clock: MockClock) -> None:
    """Catches: a full disk under `quotes.jsonl` is answered INTERNAL, and the operator is asked to report a bug."""
    cid, blocks = content.file(b"a disk with a bad minute")
    with capture_logs() as logs:
        async with World().running() as w:
            w.offer(blocks)
            put = w.blocks.put

            async def fails(multihash: Multihash, data: bytes) -> None:
                raise Trouble(f"{multihash.hex()} ({len(data)} bytes): Input/output error")

            w.blocks.put = fails  # type: ignore[method-assign]  # as a disk that fails
            await w.say(f"NEW-CID:{cid}")
            await w.later(seconds=1)
            assert [(said["status"], said.get("code")) for said in w.hear()] == [("ERROR", "BUSY")]
            w.blocks.put = put  # type: ignore[method-assign]  # it is well again
            await w.later(minutes=10)
            assert await w.quoted(cid)
    events = [line["event"] for line in logs]
    assert ("fetch.put_off" in events, "fetch.crashed" in events) == (True, False)


async def test_trouble_after_a_quote_was_stored_takes_nothing_back(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b'{"name":"noted later"}')
    troubles = iter(range(1))

    async def note(_root: bytes, _has_images: bool) -> None:
        if next(troubles, None) is not None:
            raise Trouble("the database is out of reach")

    async with World().running() as w:
        w.life.fetching.near = replace(w.life.near, note_metadata=note)
        w.offer(blocks)
        await w.pinned(cid)
        assert (await w.pin(cid)).state is State.PINNED


class AbruptBooks(MemoryBooks):
    """The connection breaks when a quote has been stored, before that can be said."""

    async def commit(self, change: Change) -> bool:
        stored = await MemoryBooks.commit(self, change)
        if change.quotes:
            raise Trouble("the database is out of reach")
        return stored


async def test_a_quote_of_which_the_database_did_not_say_that_it_was_stored_stands(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"stored all the same")
    async with World(books=AbruptBooks()).running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert await w.blocks_on_disk() == set(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert w.hear_statuses() == ["ADDING-CID"]


class BlindBooks(MemoryBooks):
    """Cannot be read while `away`."""

    away = False

    async def due(self, now: datetime, limit: int) -> Sequence[Request | Pin]:
        if self.away:
            raise Trouble("the database is out of reach")
        return await MemoryBooks.due(self, now, limit)


async def test_the_loop_goes_on_when_the_database_is_back(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"a database that restarts")
    books = BlindBooks()
    async with World(books=books).running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        books.away = True
        await w.pay(cid, amount)
        await w.mine(3)
        await w.later(minutes=1)
        assert (await w.pin(cid)).state is not State.PINNED
        books.away = False
        await w.later(minutes=1)
        assert (await w.pin(cid)).state is State.PINNED


class DeafBlocks(MemoryBlocks):
    """A folder that cannot be listed."""

    async def all(self) -> AsyncGenerator[Sequence[Multihash], None]:
        raise Trouble("the blocks are out of reach")
        yield []


async def test_what_cannot_be_swept_stops_nothing_else(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"served all the same")
    async with World(blocks=DeafBlocks()).running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        assert (await w.pin(cid)).state is State.PINNED


class UnquotingBooks(MemoryBooks):
    """Stores no quote while `away`."""

    away = False

    async def commit(self, change: Change) -> bool:
        if self.away and change.quotes:
            raise Trouble("the database is out of reach")
        return await MemoryBooks.commit(self, change)


async def test_a_reminder_that_found_no_quote_is_not_lost(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"remind me")
    books = UnquotingBooks()
    async with World(books=books).running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        books.away = True
        await w.months_later(213)
        assert w.hear() == []
        books.away = False
        await w.later(minutes=1)
        assert w.hear_statuses() == ["EXPIRING-CID"]
