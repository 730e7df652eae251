"""Killed before or after any call to any port, at random, for simulated weeks: the books remember, nothing is lost.

A kill is what SIGKILL is to the story: the call before which it strikes never happens, or the one after which it
strikes happened and nobody knows; every other task stops where it stands. Then the worker starts again on what is left.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pinning_worker.adapters.memory.crash_notes import MemoryCrashNotes
from pinning_worker.adapters.memory.signer import MemorySigner
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.pin import LIVE, State
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.steps.neighbours import Neighbours
from tests import content
from tests.soak import rounds
from tests.stories.books_read import term_paid_for, totals_of
from tests.stories.world import World, terms

pytestmark = pytest.mark.slow

SEEDS = rounds(100, soak=5_000)
STEPS = 60  # of some hours each: about three weeks


@dataclass
class Fate:
    """Decides at every call whether this is the one."""

    random: random.Random
    chance: float = 0.0
    strikes: int = 0
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def pass_by(self) -> None:
        if self.random.random() < self.chance:
            self.strikes += 1
            self.chance = 0.0
            self.scope.cancel()
            await trio.sleep_forever()


class Mortal:
    """A port of the worker, with fate before and after each call."""

    def __init__(self, port: object, fate: Fate) -> None:
        self._port, self._fate = port, fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return self._guarded(method)

    def _guarded(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            await self._fate.pass_by()
            result = await method(*args, **named)
            await self._fate.pass_by()
            return result

        return call


@dataclass
class MortalWorld(World):
    fate: Fate = field(default_factory=lambda: Fate(random.Random(0)))

    def new_life(self) -> Lifecycle:
        def mortal(port: Any) -> Any:
            return Mortal(port, self.fate)

        return Lifecycle(
            Neighbours(
                terms=self.terms,
                clock=self.clock,
                books=mortal(self.books),
                blocks=mortal(self.blocks),
                receipts=mortal(self.receipts),
                signed_receipts=mortal(self.signed_receipts),
                signer=MemorySigner(),
                fetcher=mortal(self.fetcher),
                announcer=mortal(self.announcer),
                chain=mortal(self.chain),
                new_id=lambda: f"q{next(self.ids)}",
                crash_notes=MemoryCrashNotes(),
            ),
        )

    async def live(self, chance: float, life: Callable[[], Awaitable[None]]) -> None:
        """Runs the worker through `life`, which fate may cut short."""
        self.fate.scope, self.fate.chance = trio.CancelScope(), chance
        with self.fate.scope:
            async with self.running():
                await life()
        self.chain.listener = None
        self.fate.chance = 0.0


@dataclass
class Customers:
    """Asks, pays (exactly, short, over, twice), mines and reorganises at random."""

    world: World
    random: random.Random
    goods: list[tuple[Cid, content.Blocks]]

    async def act(self) -> None:
        cid, _ = self.random.choice(self.goods)
        roll = self.random.random()
        if roll < 0.35:
            months = self.random.choice([1, 1, 2])
            await self.world.say(f'{{"type":"NEW-CID","cid":"{cid}","durationMonths":{months}}}')
        elif roll < 0.65:
            await self.pay(cid)
        elif roll < 0.70:
            await self.world.chain.reorg(self.random.randint(1, 5))
        await self.world.later(hours=self.random.uniform(0, 12))
        await self.world.mine(self.random.randint(0, 8))

    async def pay(self, cid: Cid) -> None:
        name = self.random.choice(["a", "b"])
        amount = self.random.choice([1_000_000, 1_000_000, 400_000, 2_500_000])
        await self.world.pay(cid, amount, name)


def goods() -> list[tuple[Cid, content.Blocks]]:
    picture = content.noise(3_000)
    made = []
    for name in ("one", "two"):  # two works that share a picture, and a file of several blocks
        metadata, _, blocks = content.nft(picture, name)
        made.append((metadata, blocks))
    made.append(content.file(content.noise(900), chunk=256))
    return made


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_the_moment_of_death(autojump_clock: MockClock, seed: int) -> None:
    dice = random.Random(seed)
    w = MortalWorld(terms(longest_rest=timedelta(days=30)), fate=Fate(random.Random(seed + 1)))
    customers = Customers(w, dice, goods())
    for _, blocks in customers.goods:
        w.offer(blocks)
    for _ in range(STEPS):
        await w.live(0.01, customers.act)
    assert w.fate.strikes > 5, "fate slept: this test proves nothing"

    async def calm() -> None:
        for _ in range(6):
            await w.mine(1)
            await w.later(hours=1)
        await nothing_paid_is_lost(w, customers)
        for _ in range(1_500):  # until the last term and the last quote are over
            await w.later(days=2)  # each time the chain's clock is behind for longer than the two may differ
            await w.mine(12)
            if await w.books.next_due(w.clock.now()) is None:
                break
        await nothing_is_held(w)

    await w.live(0.0, calm)


async def nothing_paid_is_lost(w: World, customers: Customers) -> None:
    payments, pins = await w.books.all_payments(), await w.books.all_pins()
    assert sorted(payment.txid for payment in payments) == sorted(w.chain.transactions())
    on_disk = await w.blocks_on_disk()
    wanted = {cid.key: set(blocks) for cid, blocks in customers.goods}
    for pin in pins:
        own = [payment for payment in payments if (payment.root, payment.name) == (pin.root, pin.name)]
        assert all(payment.settled and payment.proof for payment in own), "the chain is calm: everything counts"
        term = await term_paid_for(w.books, pin, w.clock.now())
        if term is not None and term.ends > w.clock.now():
            assert pin.state in LIVE, pin
            assert (pin.starts, pin.ends) == (term.starts, term.ends)
            assert wanted[pin.root] <= on_disk
        elif term is None:
            assert pin.state is State.SHORT, pin
    received = sum((payment.amount.amount for payment in payments), 0)
    counted = await totals_of(w.books, w.clock.now())
    assert sum(amount.amount for amount in counted.values()) == received
    with_pins = {(pin.root, pin.name) for pin in pins}
    dust = [payment for payment in payments if (payment.root, payment.name) not in with_pins]
    assert {payment.amount for payment in dust} <= {Swartz(400_000)}, "less than the least fee, before any quote"
    assert counted["owed"] == Swartz.total(payment.amount for payment in dust)
    assert all(amount >= ZERO for amount in counted.values())


async def nothing_is_held(w: World) -> None:
    assert {pin.state for pin in await w.books.all_pins()} <= {State.RELEASED, State.SHORT}
    assert await w.blocks_on_disk() == set()
    assert await w.books.next_due(w.clock.now()) is None
    for receipt in await w.receipts.all():
        assert receipt.released_at is not None, receipt
