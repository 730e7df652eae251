"""A worker to be killed: `python -m tests.stories.mortal_process FOLDER SEED PHASE`.

The real story on the real database and the real block folder; chain, peers and topic are twins that live through the
market of that seed. It says `runs` when it does. Phases: `market` (time flies, an hour in some milliseconds, whether or
not the worker keeps up), `calm` (time waits for the worker; ends when the market is over and all is calm), `end` (the
same, until nothing is due any more). Where one life ends the next goes on, some hours later.
"""

from __future__ import annotations

import inspect
import logging
import random
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
import trio
import trio.testing

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.blocks.receipt_journal import JournaledReceipts
from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.adapters.memory.clock import START
from pinning_worker.adapters.memory.crash_notes import MemoryCrashNotes
from pinning_worker.adapters.memory.network import MemoryAnnouncer, MemoryFetcher
from pinning_worker.adapters.memory.signer import MemorySigner
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.receipts import SqlReceipts
from pinning_worker.adapters.sql.signed_receipts import SqlSignedReceipts
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.topic.requests import Ask, parse
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.steps.neighbours import Neighbours
from pinning_worker.steps.tariffs import begin_tariffs
from tests.stories.market_days import ALL_IS_CALM, PRICES, Asked, Event, happen, market, window_goods, works
from tests.stories.stored_clock import StoredClock
from tests.stories.world import BROWSER, terms

STEP_SECONDS = 0.025  # real ones that a step in time takes in the market
BLOCK_SECONDS = 0.002  # ... that a peer takes for a block


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder}/books.db"


@dataclass
class Traffic:
    """How many calls to ports are under way: work in threads, of which trio's own tests for quiet know nothing."""

    calls: int = 0
    one_less: trio.Event = field(default_factory=trio.Event)

    def watch(self, port: Any) -> Any:
        return _Watched(port, self)

    async def until_quiet(self) -> None:
        """Until everything that can happen without time passing has happened."""
        await trio.testing.wait_all_tasks_blocked()
        while self.calls:
            self.one_less = trio.Event()
            await self.one_less.wait()
            await trio.testing.wait_all_tasks_blocked()


class _Watched:
    def __init__(self, port: object, traffic: Traffic) -> None:
        self._port, self._traffic = port, traffic

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        return self._counted(method) if inspect.iscoroutinefunction(method) else method

    def _counted(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            self._traffic.calls += 1
            try:
                return await method(*args, **named)
            finally:
                self._traffic.calls -= 1
                self._traffic.one_less.set()

        return call


class EventClock:
    """Port Clock for the chain: the time of what happens, however late the worker hears of it."""

    moment = START

    def now(self) -> datetime:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a chain does not wait")


@asynccontextmanager
async def living(folder: Path, clock: StoredClock, chain: MemoryChain, traffic: Traffic) -> AsyncIterator[Lifecycle]:
    database = Database(database_url(folder))
    blocks = traffic.watch(await DiskBlocks.open(folder / "blocks"))
    goods = {multihash: block for work in (*works(), *window_goods()) for multihash, block in work.blocks.items()}
    books = SqlBooks(database)
    await begin_tariffs(books, PRICES, clock.now())
    life = Lifecycle(
        Neighbours(
            terms=terms(longest_rest=timedelta(days=30)),
            clock=clock,
            books=traffic.watch(books),
            blocks=blocks,
            receipts=traffic.watch(await JournaledReceipts.open(SqlReceipts(database), folder / "blocks")),
            signed_receipts=traffic.watch(await SqlSignedReceipts.open(database)),
            signer=MemorySigner(),
            fetcher=traffic.watch(MemoryFetcher(blocks, {BROWSER: goods}, BLOCK_SECONDS)),
            announcer=MemoryAnnouncer(),
            chain=chain,
            new_id=lambda: secrets.token_hex(8),
            crash_notes=MemoryCrashNotes(),
        ),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(life.run)
        yield life
        nursery.cancel_scope.cancel()
    await database.close()


async def tell_what_was_missed(chain: MemoryChain, life: Lifecycle) -> None:
    """As the real watcher after a start: everything there is, and what it remembers and finds nowhere."""
    chain.listener = life
    await chain.tell_everything()
    there = {*chain.transactions(), *chain.mempool}
    for payment in await life.near.books.all_payments():
        if payment.txid not in there:
            await life.payment_gone(payment.txid)


async def live(folder: Path, seed: int, phase: str) -> None:
    traffic, when = Traffic(), EventClock()

    async def fly() -> None:
        await trio.sleep(STEP_SECONDS)

    clock = StoredClock(folder / "clock", fly if phase == "market" else traffic.until_quiet)
    clock.set(clock.now() + timedelta(hours=random.Random(f"{seed} {clock.now()}").uniform(0, 6)))
    chain, events = MemoryChain(when), market(seed)
    upcoming = await replay(events, chain, when, clock.now())
    async with living(folder, clock, chain, traffic) as life:
        print("runs", flush=True)
        await tell_what_was_missed(chain, life)
        while upcoming[0] <= ALL_IS_CALM or (phase == "end" and not await nothing_is_due(life, traffic)):
            when.moment, event = upcoming
            await clock.reach(when.moment)
            await happen(event, chain)
            if isinstance(event, Asked):
                ask = parse(event.text.encode())
                assert isinstance(ask, Ask)
                await life.asked(ask, PeerId(BROWSER), PeerId(BROWSER))
            upcoming = next(events)
        await traffic.until_quiet()
    print("over", flush=True)


async def replay(
    events: Iterator[tuple[datetime, Event]], chain: MemoryChain, when: EventClock, now: datetime
) -> tuple[datetime, Event]:
    """The chain as it stands by now; the first event that is still to come."""
    for moment, event in events:
        if moment > now:
            return moment, event
        when.moment = moment
        await happen(event, chain)
    raise AssertionError("a market never ends")


async def nothing_is_due(life: Lifecycle, traffic: Traffic) -> bool:
    await traffic.until_quiet()  # a step that is under way moves its own date
    now = life.near.clock.now()
    return await life.near.books.next_due(now) is None and not await life.near.books.due(now, 1)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    trio.run(live, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
