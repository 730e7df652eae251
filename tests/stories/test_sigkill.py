"""Killed as real processes are: SIGKILL at any moment, SQLite and block files left as they were, and started again.

Between two lives a database is lost and made anew, from the receipts that lie beside the blocks.
Nothing is asked of the processes but to run. What is so is read from outside, in their database and their block folder,
and held against the market that they lived through.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.blocks.receipt_journal import read_journal
from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.receipts import SqlReceipts
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.pin import STANDING, State
from pinning_worker.steps.recovering import quotes_of, take_up_quotes, take_up_receipts
from tests.soak import rounds
from tests.stories.books_read import term_paid_for, totals_of
from tests.stories.market_days import Paid, happen, market, works
from tests.stories.mortal_process import EventClock, database_url
from tests.stories.stored_clock import read_clock
from tests.stories.world import ADDRESS, SCRIPT

pytestmark = pytest.mark.slow

SIDE_BY_SIDE = 3
SEEDS = rounds(SIDE_BY_SIDE, soak=100 * SIDE_BY_SIDE)
KILLS_IN_THE_MARKET, KILLS_AT_THE_ENDS = 14, 3  # of each worker, 51 side by side: a market lasts for no more lives
DATABASE_LOST_BEFORE = (5, 11)  # of the lives in the market
PATIENCE = 120  # seconds, for anything that a process does
CLOSURES = {work.cid.key: tuple(work.blocks) for work in works()}


@pytest.mark.parametrize("first_seed", range(0, SEEDS, SIDE_BY_SIDE))
async def test_whatever_the_moment_of_sigkill(tmp_path: Path, first_seed: int) -> None:
    workers = [Worker(tmp_path / str(seed), seed) for seed in range(first_seed, first_seed + SIDE_BY_SIDE)]
    async with trio.open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(many_lives, worker)
    assert sum(worker.kills for worker in workers) >= 50


async def many_lives(worker: Worker) -> None:
    for life in range(KILLS_IN_THE_MARKET):
        if life in DATABASE_LOST_BEFORE:
            await worker.lose_and_recover_database()
        await worker.life_cut_short("market")
        await what_was_promised_is_there(worker)
    await worker.whole_life("calm")
    await nothing_paid_is_lost(worker)
    for _ in range(KILLS_AT_THE_ENDS):
        await worker.life_cut_short("end")
        await what_was_promised_is_there(worker)
    await worker.whole_life("end")
    await nothing_is_held(worker)


# ---------------------------------------------------------------- lives


@dataclass
class Worker:
    """Many lives in one folder."""

    folder: Path
    seed: int
    kills: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.folder.mkdir()
        migrate(database_url(self.folder))

    async def life_cut_short(self, phase: str) -> None:
        async with self._life(phase) as process:
            with trio.move_on_after(self.dice.uniform(0.1, 1)):
                await process.wait()
            process.kill()
            assert await process.wait() == -signal.SIGKILL, "it ended before it could be killed"
            self.kills += 1

    async def lose_and_recover_database(self) -> None:
        """As `rm pinning.db*; pinning-worker migrate; pinning-worker recover`."""
        for part in self.folder.glob("books.db*"):
            part.unlink()
        migrate(database_url(self.folder))
        journal = await trio.to_thread.run_sync(read_journal, self.folder / "blocks")
        promises = quotes_of(journal, address=ADDRESS, script=SCRIPT, network="doichain-regtest")
        async with left_by(self) as (books, receipts):
            await take_up_quotes(books, promises)
            await take_up_receipts(receipts, journal)

    async def whole_life(self, phase: str) -> None:
        async with self._life(phase) as process:
            assert await _next_line(process) == "over"
            assert await process.wait() == 0

    @asynccontextmanager
    async def _life(self, phase: str) -> AsyncIterator[trio.Process]:
        """A process that runs; at the end it runs no more."""
        command = [sys.executable, "-m", "tests.stories.mortal_process", str(self.folder), str(self.seed), phase]
        with trio.fail_after(PATIENCE):
            process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
            try:
                assert await _next_line(process) == "runs"
                yield process
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
                    await _stdout(process).aclose()


async def _next_line(process: trio.Process) -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = await _stdout(process).receive_some(1)
        assert byte, f"it ended with {await process.wait()}: see its standard error"
        line += byte
    return line.decode().strip()


def _stdout(process: trio.Process) -> trio.abc.ReceiveStream:
    assert process.stdout is not None
    return process.stdout


# ---------------------------------------------------------------- what is so


@dataclass(frozen=True)
class Truth:
    """What the market says: payments in the chain, with their amounts, and all others that there were."""

    in_chain: dict[str, Swartz]
    others: set[str]


async def truth(worker: Worker) -> Truth:
    now, clock = read_clock(worker.folder / "clock"), EventClock()
    chain, paid = MemoryChain(clock), dict[str, Swartz]()
    for clock.moment, event in market(worker.seed):
        if clock.moment > now:
            break
        await happen(event, chain)
        if isinstance(event, Paid):
            paid[event.sighting.txid] = event.sighting.amount
    in_chain = {txid: paid.pop(txid) for txid in chain.transactions()}
    assert len(in_chain) > 10, "hardly anybody paid: this test proves nothing"
    return Truth(in_chain, set(paid))


@asynccontextmanager
async def left_by(worker: Worker) -> AsyncIterator[tuple[SqlBooks, SqlReceipts]]:
    database = Database(database_url(worker.folder))
    try:
        yield SqlBooks(database), SqlReceipts(database)
    finally:
        await database.close()


async def what_was_promised_is_there(worker: Worker) -> None:
    """At any moment: what was announced as pinned is on disk, every block of it, and right."""
    blocks = await DiskBlocks.open(worker.folder / "blocks")
    async with left_by(worker) as (books, _):
        for pin in await books.all_pins():
            if pin.state in STANDING:
                assert await blocks.audit(CLOSURES[pin.root]) == set()


async def nothing_paid_is_lost(worker: Worker) -> None:
    true, now = await truth(worker), read_clock(worker.folder / "clock")
    await what_was_promised_is_there(worker)
    async with left_by(worker) as (books, _):
        payments, pins = await books.all_payments(), await books.all_pins()
        assert {p.txid: p.amount for p in payments if p.proof} == true.in_chain
        assert {p.txid for p in payments if not p.proof} <= true.others
        for pin in pins:
            own = [payment for payment in payments if (payment.root, payment.name) == (pin.root, pin.name)]
            term = await term_paid_for(books, pin, now)
            assert all(payment.settled for payment in own if payment.proof), "all is calm: everything counts"
            if term is None:
                assert pin.state in {State.SHORT, State.SUSPENDED, State.VANISHED}, pin
                continue
            assert term.ends > now
            assert pin.state in STANDING, pin
            assert (pin.starts, pin.ends) == (term.starts, term.ends)
        parts = await totals_of(books, now)
        assert Swartz.total(parts.values()) == Swartz.total(true.in_chain.values())
        assert all(part >= ZERO for part in parts.values())


async def nothing_is_held(worker: Worker) -> None:
    async with left_by(worker) as (books, receipts):
        over = {State.RELEASED, State.SHORT, State.SUSPENDED, State.VANISHED}
        assert {pin.state for pin in await books.all_pins()} <= over
        assert await books.next_due(datetime.min.replace(tzinfo=UTC)) is None
        assert all(receipt.released_at for receipt in await receipts.all())
    blocks = await DiskBlocks.open(worker.folder / "blocks")
    assert [piece async for piece in blocks.all()] == [], "all of it is in quarantine, or deleted"
