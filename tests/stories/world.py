"""A whole worker on memory twins, and the words in which the stories tell what happens to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

import trio
import trio.testing

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.adapters.memory.clock import MemoryClock
from pinning_worker.adapters.memory.crash_notes import MemoryCrashNotes
from pinning_worker.adapters.memory.network import MemoryAnnouncer, MemoryFetcher
from pinning_worker.adapters.memory.receipts import MemoryReceipts
from pinning_worker.adapters.memory.signed_receipts import MemorySignedReceipts
from pinning_worker.adapters.memory.signer import MemorySigner
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import NameBytes, PeerId, Script, Txid
from pinning_worker.domain.money.payment import PaidOutput, Sighting
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import Pin, PinKey
from pinning_worker.domain.topic.requests import Ask, BadAsk, parse
from pinning_worker.domain.verdict import Depth
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.ports.content import Budget
from pinning_worker.steps.neighbours import Neighbours
from pinning_worker.steps.tariffs import Prices, begin_tariffs, next_tariff
from pinning_worker.steps.terms import Terms
from tests import content

ADDRESS, SCRIPT = "mk" + "A" * 32, Script(b"\x76\xa9\x14" + bytes(20) + b"\x88\xac")
BROWSER = "12D3KooWBrowser"
PRICES = Prices(Swartz(742_000), Swartz(1_000_000))


def budget(max_bytes: int = 50_000_000, max_blocks: int = 10_000) -> Budget:
    return Budget(
        max_bytes=max_bytes,
        max_blocks=max_blocks,
        max_depth=64,
        first_block_time=timedelta(seconds=30),
        idle_time=timedelta(seconds=15),
        fetch_time=timedelta(minutes=10),
    )


def terms(**changes: Any) -> Terms:
    return replace(
        Terms(
            payment_address=ADDRESS,
            payment_script=SCRIPT,
            network="doichain-regtest",
            depth=Depth(confirmations=3, credit_blocks=20),
            budget=budget(),
            staging_quota=200_000_000,
            quarantine=timedelta(days=7),
            quote_life=timedelta(hours=24),
            most_months=8,
            min_payment=None,
            queue_size=200,
            queue_size_per_peer=50,
            fetches_at_once=8,
        ),
        **changes,
    )


@dataclass
class World:
    """One worker. `say`/`hear` are the topic; `pay` and `chain` are Doichain; `later` is time."""

    terms: Terms = field(default_factory=terms)
    clock: MemoryClock = field(default_factory=MemoryClock)
    books: MemoryBooks = field(default_factory=MemoryBooks)
    blocks: MemoryBlocks = field(default_factory=MemoryBlocks)
    receipts: MemoryReceipts = field(default_factory=MemoryReceipts)
    signed_receipts: MemorySignedReceipts = field(default_factory=MemorySignedReceipts)
    announcer: MemoryAnnouncer = field(default_factory=MemoryAnnouncer)
    crash_notes: MemoryCrashNotes = field(default_factory=MemoryCrashNotes)
    prices: Prices = PRICES
    may_crash: bool = False
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.chain = MemoryChain(self.clock)
        self.fetcher = MemoryFetcher(self.blocks)
        self.life = self.new_life()

    def new_life(self) -> Lifecycle:
        """A worker after a start: everything it knows is in the books."""
        return Lifecycle(
            Neighbours(
                terms=self.terms,
                clock=self.clock,
                books=self.books,
                blocks=self.blocks,
                receipts=self.receipts,
                signed_receipts=self.signed_receipts,
                signer=MemorySigner(),
                fetcher=self.fetcher,
                announcer=self.announcer,
                chain=self.chain,
                new_id=lambda: f"q{next(self.ids)}",
                crash_notes=self.crash_notes,
            ),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """The worker runs inside; leaving ends it as a kill does."""
        self.life, self.chain.read = self.new_life(), False
        await begin_tariffs(self.books, self.prices, self.clock.now())
        async with trio.open_nursery() as nursery:
            await nursery.start(self.life.run)
            self.chain.listener = self.life
            await self.chain.tell_everything()
            await self.settle()
            yield self
            self.chain.listener = None
            nursery.cancel_scope.cancel()
        assert self.may_crash or not self.crash_notes.crashed, self.crash_notes.crashed

    # ---------------------------------------------------------------- the world says

    async def say(self, text: str, peer: str = BROWSER, through: str = "") -> None:
        """`through`: the peer that hands it to us; empty: the one that says it."""
        match parse(text.encode()):
            case Ask() as ask:
                await self.life.asked(ask, PeerId(peer), PeerId(through or peer))
            case BadAsk() as bad:
                await self.life.ill_asked(bad)
            case other:
                raise AssertionError(f"no request: {other}")
        await self.settle()

    async def later(self, **span: float) -> None:
        await self.clock.sleep(timedelta(**span).total_seconds())
        await self.settle()

    async def settle(self) -> None:
        """Until everything that can happen without time passing has happened."""
        await trio.testing.wait_all_tasks_blocked(0.001)

    async def mine(self, blocks: int = 1) -> None:
        await self.chain.mine(blocks)
        await self.settle()

    async def set_prices(self, per_mib_month: int, least: int) -> None:
        """The operator sets a tariff while the worker runs."""
        prices = Prices(Swartz(per_mib_month), Swartz(least))
        assert await self.books.add_tariff(next_tariff(await self.books.tariffs(), prices, self.clock.now()))

    async def pass_time(self, **span: float) -> None:
        """Both clocks move: the chain's by empty blocks, after which the worker has time to look again."""
        await self.later(**span)
        await self.chain.mine(12, empty=True)
        await self.later(minutes=11)

    async def months_later(self, days: float) -> None:
        """Both clocks move: a day's blocks are mined each day, at the pace of one an hour near the end."""
        for _ in range(int(days)):
            await self.later(days=1)
            await self.mine(12)

    async def pay(
        self, cid: Cid | str, amount: int, name: str = "art/1", *, also: int | None = None, value: str = "ipfs://{}"
    ) -> Txid:
        """A transaction as the browser makes it, into the mempool. `value`: of its NameOp, with the CID for the {}."""
        txid = Txid(hashlib.sha256(f"tx {next(self.ids)}".encode()).hexdigest())
        outputs = (PaidOutput(1, Swartz(amount)),) + ((PaidOutput(3, Swartz(also)),) if also else ())
        await self.chain.broadcast(Sighting(txid, NameBytes(name.encode()), value.format(cid).encode(), outputs, None))
        await self.settle()
        return txid

    # ---------------------------------------------------------------- the worker says

    def hear(self) -> list[dict[str, Any]]:
        """Everything said on the topic since the last time, decoded."""
        said = [json.loads(message.encode()) for message in self.announcer.said]
        self.announcer.said.clear()
        assert all("retryAfterSeconds" in message for message in said if message.get("code") == "BUSY")
        return said

    def hear_statuses(self) -> list[str]:
        return [message["status"] for message in self.hear()]

    # ---------------------------------------------------------------- what is so

    def lose(self, multihash: Multihash, *, rot: bool = False) -> None:
        """The disk loses a block, or what it was."""
        self.blocks.data.pop(multihash)
        if rot:
            self.blocks.data[multihash] = b"rot"

    def in_quarantine(self) -> set[bytes]:
        return {multihash for folder in self.blocks.freed.values() for multihash in folder}

    def offer(self, blocks: content.Blocks, peer: str = BROWSER) -> None:
        self.fetcher.peers.setdefault(peer, {}).update(blocks)

    async def pin(self, cid: Cid, name: str = "art/1") -> Pin:
        pin = await self.books.pin(PinKey(cid.key, NameBytes(name.encode())))
        assert pin is not None
        return pin

    async def blocks_on_disk(self) -> set[bytes]:
        return {multihash async for page in self.blocks.all() for multihash in page}

    async def quoted(self, cid: Cid) -> int:
        """Asks, and returns what is to be paid."""
        await self.say(f"NEW-CID:{cid}")
        answer = self.hear()[-1]
        assert answer["status"] == "ADDING-CID", answer
        amount: int = answer["fee"]["amount"]
        return amount

    async def pinned(self, cid: Cid, name: str = "art/1") -> Txid:
        """Asks, pays, and waits until it is pinned; says nothing about it."""
        txid = await self.pay(cid, await self.quoted(cid), name)
        await self.mine(3)
        self.hear()
        return txid
