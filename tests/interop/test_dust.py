"""Dust at the address of a story that runs on real books, a real watcher and a real ElectrumX with its own limits.

What is small here is the number only: ten thousand stand in `tests/adapters/electrum/test_pile_of_dust.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.memory.crash_notes import MemoryCrashNotes
from pinning_worker.adapters.memory.network import MemoryAnnouncer, MemoryFetcher
from pinning_worker.adapters.memory.receipts import MemoryReceipts
from pinning_worker.adapters.memory.signed_receipts import MemorySignedReceipts
from pinning_worker.adapters.memory.signer import MemorySigner
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import open_database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.identities import PeerId, Script
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.requests import Ask, parse
from pinning_worker.domain.verdict import Depth
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.sandbox.sandbox import Sandbox, open_sandbox
from pinning_worker.steps.neighbours import Neighbours
from pinning_worker.steps.tariffs import begin_tariffs
from tests import content
from tests.adapters.electrum.listening import DEADLINE_SECONDS, eventually
from tests.interop.test_electrum import AT_HOME, operator
from tests.stories.world import PRICES, terms

pytestmark = pytest.mark.interop

DUST = 300


@dataclass
class Running:
    life: Lifecycle
    books: SqlBooks
    fetcher: MemoryFetcher
    announcer: MemoryAnnouncer
    watcher: PaymentWatcher

    def has_said(self, status: str) -> bool:
        return any(json.loads(message.encode())["status"] == status for message in self.announcer.said)


@asynccontextmanager
async def story_on(sandbox: Sandbox, script: Script, url: str) -> AsyncIterator[Running]:
    blocks, announcer, ids = MemoryBlocks(), MemoryAnnouncer(), count(1)
    fetcher = MemoryFetcher(blocks)
    urls = [sandbox.electrum_urls[scheme] for scheme in ("ws", "tcp")]
    watcher = PaymentWatcher(
        DOICHAIN_REGTEST,
        SystemClock(),
        urls,
        longest_unseen=timedelta(hours=2),
        scripts=[script],
        patience=AT_HOME,
    )
    async with open_database(url) as database, trio.open_nursery() as nursery:
        books = SqlBooks(database)
        await begin_tariffs(books, PRICES, SystemClock().now())
        life = Lifecycle(
            Neighbours(
                terms=terms(payment_script=script, depth=Depth(confirmations=1, credit_blocks=20)),
                clock=SystemClock(),
                books=books,
                blocks=blocks,
                receipts=MemoryReceipts(),
                signed_receipts=MemorySignedReceipts(),
                signer=MemorySigner(),
                fetcher=fetcher,
                announcer=announcer,
                chain=watcher,
                new_id=lambda: f"q{next(ids)}",
                crash_notes=MemoryCrashNotes(),
            ),
        )
        await nursery.start(life.run)
        await nursery.start(watcher.run, life)
        yield Running(life, books, fetcher, announcer, watcher)
        nursery.cancel_scope.cancel()


async def timed(running: Running, status: str, since: str) -> None:
    began = trio.current_time()
    await eventually(lambda: running.has_said(status), status)
    print(f"{since} to {status}: {trio.current_time() - began:.2f} s")


async def test_a_customer_among_dust(tmp_path: Path) -> None:
    cid, blocks = content.file(b"a customer's")
    url = f"sqlite:///{tmp_path}/pinning.db"
    migrate(url)
    async with open_sandbox(tmp_path / "sandbox") as sandbox:
        wallet = operator(sandbox)
        address, script = wallet.address(), wallet.script()
        sandbox.mine(20)  # coins for the wallet
        for number in range(DUST):
            sandbox.pay(address, Swartz(1), f"dust/{number}", str(content.file(b"nowhere %d" % number)[0]))
            if number % 4 == 3:
                sandbox.mine(1)
        await sandbox.indexed()
        async with story_on(sandbox, script, url) as running:
            running.fetcher.peers["customer"] = dict(blocks)
            await eventually(running.watcher.sight.is_seen, "the chain is seen")
            ask = parse(f"NEW-CID:{cid}".encode())
            assert isinstance(ask, Ask)
            await running.life.asked(ask, PeerId("customer"), PeerId("customer"))
            await eventually(lambda: running.has_said("ADDING-CID"), "it is quoted")
            [quote] = await running.books.quotes(cid.key)
            sandbox.pay(address, quote.amount, "art/1", str(cid))
            await timed(running, "PAYMENT-SEEN", "payment")
            sandbox.mine(1)
            await timed(running, "ADDED-CID", "block")
            with trio.fail_after(DEADLINE_SECONDS):
                while len(await running.books.all_payments()) < DUST + 1:  # noqa: ASYNC110  # no event tells of it
                    await trio.sleep(0.05)
            assert Counter(pin.state.value for pin in await running.books.all_pins()) == {"pinned": 1}
            assert running.fetcher.fetches == [cid]
            assert [state.fault for state in running.watcher.servers()] == ["", ""]
