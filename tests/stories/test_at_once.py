"""Two things at the same moment: a step, and what changes the world between its look and its deed.

The books here are the twin, slowed down or told to let something happen just before they store: so each of these
moments comes every time, and not once in a thousand lives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import trio
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.domain.content.cid import Cid, Root
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.payment import PaidOutput, Sighting
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import Pin, Request, State
from pinning_worker.domain.topic.messages import FetchingCid, Message
from pinning_worker.domain.verdict import Depth
from pinning_worker.ports.books import Change, Dossier
from pinning_worker.ports.world import Trouble
from tests import content
from tests.stories.world import World, terms


class SlowBooks(MemoryBooks):
    """Answers what waits in the queue as it was `seconds` ago, and what is due as it was `due_seconds` ago."""

    seconds = due_seconds = 0.0

    async def due(self, now: datetime, limit: int) -> Sequence[Request | Pin]:
        rows = await MemoryBooks.due(self, now, limit)
        await trio.sleep(self.due_seconds)
        return rows

    async def waiting(self, limit: int, *, paid_for: bool) -> Sequence[Request]:
        rows = await MemoryBooks.waiting(self, limit, paid_for=paid_for)
        await trio.sleep(self.seconds)
        return rows


async def test_a_queue_read_before_a_fetch_ended_begins_it_not_again(autojump_clock: MockClock) -> None:
    """Catches: a second fetch of what was just answered; where it stalled too, that ended the worker."""
    cid, blocks = content.file(content.noise(600_000))
    books = SlowBooks()
    async with World(books=books).running() as w:
        w.offer({cid.multihash: blocks[cid.multihash]})
        await w.say(f"NEW-CID:{cid}")  # stalls after 15 seconds
        await w.later(seconds=14)
        books.seconds = 2
        w.life.ring()
        await w.later(seconds=3)
        books.seconds = 0
        await w.later(minutes=1)
        assert [m["code"] for m in w.hear() if m["status"] == "ERROR"] == ["TIMEOUT"]
        assert w.fetcher.fetches == [cid]


async def test_what_falls_due_while_the_books_are_asked_is_not_left_for_the_hour(autojump_clock: MockClock) -> None:
    """Catches: what was not due yet when its turn was read, and no more ahead when the loop asked how long to rest."""
    cid, blocks = content.file(content.noise(3_000))
    books = SlowBooks()
    async with World(books=books).running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        await w.pass_time(hours=24, seconds=-5)
        books.due_seconds = 10
        w.life.ring()
        await w.later(minutes=1)
        request = await w.books.request(cid.key)
        assert request is not None
        assert request.state is State.LAPSED


class PromptBooks(MemoryBooks):
    """Lets something happen just before a request's first lapse is stored, or before an answer is looked up."""

    before_lapse: Callable[[], Awaitable[None]] | None = None
    before_looking_up: Callable[[], Awaitable[None]] | None = None

    async def commit(self, change: Change) -> bool:
        if any(request.state is State.LAPSED for request in change.requests) and self.before_lapse is not None:
            happens, self.before_lapse = self.before_lapse, None
            await happens()
        return await MemoryBooks.commit(self, change)

    async def dossier(self, root: Root, naming: int) -> Dossier:
        if naming > 1 and self.before_looking_up is not None:
            happens, self.before_looking_up = self.before_looking_up, None
            await happens()
        return await MemoryBooks.dossier(self, root, naming)


def payment(cid: Cid, amount: int) -> Sighting:
    txid = Txid(hashlib.sha256(b"at the last moment").hexdigest())
    return Sighting(txid, NameBytes(b"art/1"), f"ipfs://{cid}".encode(), (PaidOutput(1, Swartz(amount)),), None)


async def test_a_payment_seen_while_its_quote_lapses_holds_the_blocks(autojump_clock: MockClock) -> None:
    """Catches: the lapse had looked for payments already, and frees what was paid for a moment ago."""
    cid, blocks = content.file(b"at the last moment")
    books = PromptBooks()
    async with World(books=books).running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.fetcher.peers.clear()
        books.before_lapse = lambda: w.chain.broadcast(payment(cid, amount))
        await w.pass_time(hours=25)
        assert books.before_lapse is None
        assert await w.blocks_on_disk() == set(blocks)
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED


async def test_a_renewal_that_is_not_deep_yet_when_the_term_ends_keeps_the_blocks(autojump_clock: MockClock) -> None:
    """Catches: the end frees what is paid on; when the payment counts, perhaps nobody has it any more."""
    cid, blocks = content.file(b"renewed in time")
    async with World(terms=terms(depth=Depth(confirmations=10, credit_blocks=20))).running() as w:
        w.offer(blocks)
        await w.pay(cid, await w.quoted(cid))
        await w.mine(10)
        first = await w.pin(cid)
        w.fetcher.peers.clear()
        await w.months_later(241)
        await w.pay(cid, 1_000_000)
        await w.mine(1)
        w.hear()
        await w.later(days=1, minutes=5)
        await w.mine(8)  # of ten; the end is past by both clocks
        await w.later(minutes=30)
        assert await w.blocks_on_disk() == set(blocks)
        await w.mine(1)
        renewed = await w.pin(cid)
        assert renewed.state is State.PINNED
        assert first.ends is not None
        assert renewed.ends == first.ends.replace(year=2028, month=3)
        assert "EXPIRED-CID" not in w.hear_statuses()


async def test_a_renewal_that_never_gets_into_a_block_holds_the_end_up_for_a_day(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"renewed and never mined")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.months_later(241)
        renewal = Sighting(
            Txid("e" * 64), NameBytes(b"art/1"), f"ipfs://{cid}".encode(), (PaidOutput(1, Swartz(1_000_000)),), None
        )
        await w.life.payment_seen(renewal)  # and no miner takes it
        await w.later(days=1, hours=6)
        await w.mine(12)
        await w.later(minutes=30)
        assert await w.blocks_on_disk() == set(blocks)
        await w.months_later(3)
        assert w.hear_statuses()[-1] == "EXPIRED-CID"
        assert await w.blocks_on_disk() == set()


async def test_nobody_hears_that_it_is_fetched_after_he_heard_that_it_failed(autojump_clock: MockClock) -> None:
    """Catches: news of the progress was on its way to many when the fetch failed; a client waits for ever."""
    cid, _ = content.file(b"nowhere")
    budget = replace(terms().budget, first_block_time=timedelta(seconds=2.3))

    async def slowly(message: Message) -> None:
        await trio.sleep(0.5 if isinstance(message, FetchingCid) else 0.1)

    world = World(terms=terms(budget=budget))
    world.announcer.telling = slowly
    async with world.running() as w:
        for number in range(5):
            await w.say(f'{{"type":"NEW-CID","cid":"{cid}","id":"r{number}"}}')
        await w.later(minutes=1)
        last = {message["id"]: message["status"] for message in w.hear()}
        assert last == {f"r{number}": "ERROR" for number in range(5)}


async def test_who_asks_again_just_before_the_quote_lapses_is_served(autojump_clock: MockClock) -> None:
    """Catches: his answer waits for the end of two seconds, and then there is none to give."""
    cid, blocks = content.file(b"asked in the last second")
    async with World(terms=terms(quote_life=timedelta(minutes=1))).running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        await w.later(seconds=58.5)
        await w.say(f"NEW-CID:{cid}")
        await w.later(seconds=1)
        await w.say(f"NEW-CID:{cid}")
        await w.later(seconds=10)
        assert [(m["status"], m["quote"]["id"]) for m in w.hear()] == [("ADDING-CID", "q1"), ("ADDING-CID", "q2")]


async def test_whose_quote_lapses_while_it_is_looked_up_is_served(autojump_clock: MockClock) -> None:
    """Catches: it stood when he asked, and nothing did when he was answered."""
    cid, blocks = content.file(b"asked at that very moment")
    books = PromptBooks()
    async with World(books=books).running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        await w.later(seconds=3)
        books.before_looking_up = partial(w.later, hours=25)
        await w.say(f"NEW-CID:{cid}")
        assert [(m["status"], m["quote"]["id"]) for m in w.hear()] == [("ADDING-CID", "q2")]


class ForgetfulBooks(MemoryBooks):
    """Out of reach for one look at what is to be answered."""

    away = False

    async def dossier(self, root: Root, naming: int) -> Dossier:
        if self.away:
            self.away = False
            raise Trouble("the database is out of reach")
        return await MemoryBooks.dossier(self, root, naming)


async def test_who_waits_for_an_answer_is_not_forgotten_when_the_database_is_away(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"a database with a bad second")
    books = ForgetfulBooks()
    async with World(books=books).running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        await w.say(f"NEW-CID:{cid}")
        books.away = True
        await w.later(minutes=2)
        assert w.hear_statuses() == ["ADDING-CID"]
