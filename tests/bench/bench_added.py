"""How long a payer waits for ADDED-CID after the block that holds the payment: `python -m tests.bench.bench_added`.

The real story over the real books (SQLite) and the real block folder; the chain and the peers are twins, so the figure
is the worker's own time. The shop has 1, 100 and 10 000 open quotes, and then 10 000 whose payments all wait in the
mempool. Beside each figure stand as many bare commits of a row as the story made, in the same folder. Then one pin with
2 000 payments of dust: the block that proves them, one judgement, and a restart. `mempool` and `dust` choose one of the
parts, `--profile` prints where the loop's thread spends its time.
"""

from __future__ import annotations

import cProfile
import hashlib
import pstats
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import trio
from sqlalchemy import Connection

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.blocks.receipt_journal import JournaledReceipts
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.adapters.memory.crash_notes import MemoryCrashNotes
from pinning_worker.adapters.memory.network import MemoryAnnouncer, MemoryFetcher
from pinning_worker.adapters.memory.signer import MemorySigner
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.receipts import SqlReceipts
from pinning_worker.adapters.sql.signed_receipts import SqlSignedReceipts
from pinning_worker.domain.content.cid import RAW, Cid, cid_of
from pinning_worker.domain.identities import NameBytes, PeerId, Txid
from pinning_worker.domain.money.payment import PaidOutput, Payment, Sighting
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import Event, Pin, PinKey, State, step
from pinning_worker.domain.topic.messages import AddedCid, Message
from pinning_worker.domain.topic.requests import Ask, parse
from pinning_worker.domain.verdict import Depth
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.logs import configure_logs
from pinning_worker.ports.books import Change
from pinning_worker.steps.neighbours import Neighbours
from pinning_worker.steps.tariffs import begin_tariffs
from tests import content
from tests.stories.world import BROWSER, PRICES, terms

ROUNDS, AT_ONCE, DUST = 12, 500, 2_000
EASILY_PAID = Swartz(50_000_000)
ART = NameBytes(b"art")
Result = TypeVar("Result")


class CountedDatabase(Database):
    """`written` counts the transactions that write."""

    written = 0

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        self.written += 1
        return await super().write(change)


@dataclass
class Shop:
    """A worker with real books. `heard` is called with each message that it says."""

    folder: Path
    database: CountedDatabase
    books: SqlBooks
    life: Lifecycle
    chain: MemoryChain
    peers: dict[str, content.Blocks]
    announcer: MemoryAnnouncer

    async def ask(self, seed: int) -> Cid:
        """Asks for a content of its own, and waits for the quote."""
        cid, blocks = content.file(content.noise(1_000, seed))
        self.peers[BROWSER].update(blocks)
        ask = parse(f"NEW-CID:{cid}".encode())
        assert isinstance(ask, Ask)
        await self.life.asked(ask, PeerId(BROWSER), PeerId(BROWSER))
        while not await self.books.quotes(cid.key):  # noqa: ASYNC110  # the books ring no bell
            await trio.sleep(0.005)
        return cid

    async def until_added(self, cid: Cid) -> None:
        is_added = trio.Event()

        async def hear(message: Message) -> None:
            if isinstance(message, AddedCid) and message.cid == str(cid):
                is_added.set()

        self.announcer.telling = hear
        await self.chain.mine()
        await is_added.wait()

    async def until_judged(self) -> None:
        while self.life.bell.nudged or self.life.due._working:  # noqa: ASYNC110  # the loop rings at each step
            await trio.sleep(0.005)


@asynccontextmanager
async def open_shop(folder: Path, chain: MemoryChain) -> AsyncIterator[Shop]:
    url = f"sqlite:///{folder}/books.db"
    migrate(url)
    database = CountedDatabase(url)
    books, blocks, announcer = SqlBooks(database), await DiskBlocks.open(folder / "blocks"), MemoryAnnouncer()
    clock, peers = SystemClock(), {BROWSER: content.Blocks()}
    await begin_tariffs(books, PRICES, clock.now())
    life = Lifecycle(
        Neighbours(
            terms=terms(depth=Depth(confirmations=1, credit_blocks=20)),
            clock=clock,
            books=books,
            blocks=blocks,
            receipts=await JournaledReceipts.open(SqlReceipts(database), folder / "blocks"),
            signed_receipts=await SqlSignedReceipts.open(database),
            signer=MemorySigner(),
            fetcher=MemoryFetcher(blocks, peers),
            announcer=announcer,
            chain=chain,
            new_id=lambda: secrets.token_hex(8),
            crash_notes=MemoryCrashNotes(),
        ),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(life.run)
        chain.listener = life
        yield Shop(folder, database, books, life, chain, peers, announcer)
        chain.listener = None
        nursery.cancel_scope.cancel()
    await database.close()


def payment_of(cid: Cid, number: int, amount: Swartz) -> Sighting:
    txid = Txid(hashlib.sha256(f"{cid} {number}".encode()).hexdigest())
    return Sighting(txid, ART, f"ipfs://{cid}".encode(), (PaidOutput(1, amount),), None)


# --- open quotes


async def fill(shop: Shop, like: Cid, count: int, *, is_paid: bool) -> None:
    """So many open quotes more, each like that one; `is_paid`: a payment of each waits in the mempool."""
    request, [quote] = await shop.books.request(like.key), await shop.books.quotes(like.key)
    assert request is not None
    cids = [cid_of(RAW, b"window %d" % number) for number in range(count)]
    for at in range(0, count, AT_ONCE):
        some = cids[at : at + AT_ONCE]
        await shop.books.commit(
            Change(
                requests=tuple(replace(request, root=cid.key, version=0) for cid in some),
                quotes=tuple(replace(quote, id=secrets.token_hex(8), root=cid.key, cid_text=str(cid)) for cid in some),
                hold=tuple((cid.key, (cid.multihash,)) for cid in some),
                pins=tuple(_seen(cid) for cid in some if is_paid),
                payments=tuple(_waiting(cid) for cid in some if is_paid),
            )
        )


def _seen(cid: Cid) -> Pin:
    return Pin(cid.key, ART, str(cid), step(None, Event.SEEN), None)


def _waiting(cid: Cid) -> Payment:
    sighting, now = payment_of(cid, 0, EASILY_PAID), SystemClock().now()
    return Payment(sighting.txid, cid.key, str(cid), ART, sighting.outputs, now, None, announced=0)


def bare_commits(folder: Path, count: int) -> float:
    """Milliseconds of so many commits of one row, each on the disk when it returns."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS bare (row BLOB)")
    begun = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO bare VALUES (?)", (bytes(300),))
    took = 1_000 * (time.perf_counter() - begun)
    connection.close()
    return took


async def quotes_open(count: int, *, is_paid: bool = False) -> float:
    """The median of the milliseconds from a block to ADDED-CID."""
    took, bare, writes = list[float](), list[float](), list[int]()
    with tempfile.TemporaryDirectory() as folder:
        async with open_shop(Path(folder), MemoryChain(SystemClock())) as shop:
            paid_for = [await shop.ask(seed) for seed in range(ROUNDS + 1)]
            await fill(shop, paid_for[0], count, is_paid=is_paid)
            await shop.chain.mine()
            await shop.until_judged()
            for cid in paid_for:
                await shop.chain.broadcast(payment_of(cid, 0, EASILY_PAID))
                await shop.until_judged()
                written, begun = shop.database.written, time.perf_counter()
                await shop.until_added(cid)
                took.append(1_000 * (time.perf_counter() - begun))
                writes.append(shop.database.written - written)
                bare.append(bare_commits(shop.folder, writes[-1]))
                await shop.until_judged()
    middle, least = sorted(took[1:])[ROUNDS // 2], sorted(bare[1:])[ROUNDS // 2]
    waiting = ", a payment of each in the mempool" if is_paid else ""
    print(
        f"{count} open quotes{waiting}: block to ADDED-CID {middle:.1f} ms (worst {max(took[1:]):.1f}); "
        f"{sorted(writes)[ROUNDS // 2]} bare commits {least:.1f} ms, {middle / least:.1f}x",
        flush=True,
    )
    return middle


# --- dust


async def dust() -> None:
    """One pin with 2 000 payments of a swartz."""
    chain = MemoryChain(SystemClock())
    with tempfile.TemporaryDirectory() as folder:
        async with open_shop(Path(folder), chain) as shop:
            cid = await shop.ask(1)
            await shop.chain.broadcast(payment_of(cid, 0, EASILY_PAID))
            await shop.until_added(cid)
            for number in range(1, DUST + 1):
                sighting = payment_of(cid, number, Swartz(1))
                chain.mempool[sighting.txid] = sighting
            with timed(f"{DUST} payments of dust in one block, until all are judged"):
                await chain.mine()
                await shop.until_judged()
            with timed("the next block"):
                await chain.mine()
                await shop.until_judged()
            with timed("one judgement"):
                await shop.life.paying.judge(PinKey(cid.key, ART))
            pin = await shop.books.pin(PinKey(cid.key, ART))
            assert pin is not None
            assert pin.state is State.PINNED
        with timed("a restart, until the chain is read and all is judged"):
            async with open_shop(Path(folder), chain) as shop:
                await chain.tell_everything()
                await shop.until_judged()


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints how long its block took."""
    begun, processor = time.perf_counter(), time.process_time()
    yield
    took, ours = time.perf_counter() - begun, time.process_time() - processor
    print(f"{what}: {1_000 * took:.0f} ms ({1_000 * ours:.0f} ms of the processor)", flush=True)


async def main() -> None:
    if "dust" in sys.argv:
        return await dust()
    alone = await quotes_open(1)
    if "mempool" in sys.argv:
        print(f"  against one open quote: {await quotes_open(10_000, is_paid=True) / alone:.2f}x")
        return None
    for count in (100, 10_000):
        print(f"  against one open quote: {await quotes_open(count) / alone:.2f}x")
    print(f"  against one open quote: {await quotes_open(10_000, is_paid=True) / alone:.2f}x")
    return await dust()


if __name__ == "__main__":
    configure_logs("error", "text")
    if "--profile" in sys.argv:
        with cProfile.Profile() as profile:
            trio.run(main)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
    else:
        trio.run(main)
