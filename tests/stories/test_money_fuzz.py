"""Random histories of money: whatever payers, strangers, miners, the operator and the machine do, nothing is lost.

Each history follows from its seed. It ends quietly: everything is mined and brought, then all terms run out.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.memory.receipts import MemoryReceipts
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.money.account import Account, account_of
from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import LIVE, PinKey, State
from pinning_worker.steps.recovering import take_up_quotes, take_up_tariffs
from pinning_worker.steps.tariffs import Prices, Tariffs
from tests import content
from tests.soak import rounds
from tests.stories.books_read import totals_of
from tests.stories.world import World, terms

PRICES = Prices(Swartz(300_000_000), Swartz(500_000))  # a work of 3 kB costs about 900 000 a month
PICTURE = content.noise(3_000)
ONE, _, ONE_BLOCKS = content.nft(PICTURE, name="one")
TWO, _, TWO_BLOCKS = content.nft(PICTURE, name="two")
FILE, FILE_BLOCKS = content.file(content.noise(2_000, 2), chunk=256)
WORKS = {ONE: ONE_BLOCKS, TWO: TWO_BLOCKS, FILE: FILE_BLOCKS}
NAMES = ["a", "b"]
AMOUNTS = [1, 4_000, 250_001, 400_000, 500_000, 900_000, 900_000, 1_500_000, 3_000_000, 7_300_000]
STEPS = 30


@dataclass
class History:
    """One worker's life. `jumped`: the clock's error, undone before the next block."""

    dice: random.Random
    world: World = field(default_factory=lambda: World(terms(longest_rest=timedelta(days=10)), prices=PRICES))
    is_restart_due: bool = False
    is_rebuild_due: bool = False

    async def step(self) -> None:
        odds: dict[Callable[[], Awaitable[None]], int] = {
            self.pay: 8,
            self.ask: 4,
            self.mine: 8,
            self.set_tariff: 2,
            self.strike: 1,
            self.reorg: 2,
            self.double_spend: 1,
            self.wrong_clock: 1,
            self.go_away: 1,
            self.come_back: 1,
            self.lose: 1,
            self.restart: 1,
            self.rebuild: 1,
        }
        await self.dice.choices(list(odds), list(odds.values()))[0]()

    async def pay(self) -> None:
        value = "no cid" if self.dice.random() < 0.03 else "ipfs://{}"
        await self.world.pay(self.work(), self.dice.choice(AMOUNTS), self.dice.choice(NAMES), value=value)

    async def ask(self) -> None:
        months = self.dice.choice([1, 1, 2, 8])
        await self.world.say(f'{{"type":"NEW-CID","cid":"{self.work()}","durationMonths":{months}}}')
        await self.world.later(seconds=3)

    async def mine(self) -> None:
        hours = self.dice.choice([0.2, 1, 3, 30, 300])
        await self.world.later(hours=hours)
        await self.world.mine(self.dice.choice([1, 2, 4, 12]))

    async def set_tariff(self) -> None:
        price = self.dice.choice([100_000_000, 150_000_000, 300_000_000, 900_000_000])
        await self.world.set_prices(price, self.dice.choice([250_000, 500_000, 800_000]))

    async def strike(self) -> None:
        await self.world.books.strike_tariff(len(await self.world.books.tariffs()))

    async def reorg(self) -> None:
        tip = await self.world.chain.tip()
        assert tip is not None
        newest = self.world.chain.transactions()[-1:] if self.dice.random() < 0.3 else []
        await self.world.chain.reorg(min(self.dice.randint(1, 5), tip.height), drop=newest)
        await self.world.settle()

    async def double_spend(self) -> None:
        if waiting := sorted(self.world.chain.mempool.values(), key=lambda each: each.txid):
            await self.world.chain.evict(self.dice.choice(waiting).txid)
            await self.world.settle()

    async def wrong_clock(self) -> None:
        """For a while, and no block comes meanwhile."""
        error = timedelta(days=self.dice.choice([-400, -1, 1, 400]))
        self.world.clock.moved += error
        await self.world.later(minutes=20)
        self.world.clock.moved -= error
        await self.world.later(minutes=1)

    async def go_away(self) -> None:
        self.world.fetcher.peers.clear()

    async def come_back(self) -> None:
        for blocks in WORKS.values():
            self.world.offer(blocks)

    async def lose(self) -> None:
        if on_disk := sorted(self.world.blocks.data):
            self.world.lose(self.dice.choice(on_disk), rot=self.dice.random() < 0.5)

    async def restart(self) -> None:
        self.is_restart_due = True

    async def rebuild(self) -> None:
        self.is_rebuild_due = True

    def work(self) -> Cid:
        return self.dice.choice(list(WORKS))


async def with_new_books(world: World) -> None:
    """The database is lost: tariffs and quotes are taken from their journals, payments from the chain."""
    old = world.books
    quotes = [quote for cid in WORKS for quote in await old.quotes(cid.key)]
    world.books, world.receipts = MemoryBooks(), MemoryReceipts()
    await take_up_tariffs(world.books, await old.tariffs())
    await take_up_quotes(world.books, quotes)


async def accounts_of(world: World) -> dict[PinKey, Account]:
    """Every (CID, name) that was ever paid for, folded anew from the proven payments; without a look at the pins."""
    paid = defaultdict[PinKey, list[Payment]](list)
    for payment in await world.books.all_payments():
        if payment.root and payment.proof is not None:
            paid[PinKey(payment.root, payment.name)].append(payment)
    tip = await world.chain.tip()
    assert tip is not None
    rates = {key.root: await Tariffs(world.books).rates(key.root) for key in paid}
    moment = min(world.clock.now(), tip.median_time)
    return {key: account_of(payments, rates[key.root], moment) for key, payments in paid.items()}


async def calm_down(world: World) -> None:
    """Everything is brought, asked for, mined deep, and looked at again."""
    for cid, blocks in WORKS.items():
        world.offer(blocks)
        await world.say(f"NEW-CID:{cid}")
    for _ in range(8):
        await world.later(hours=1)
        await world.mine(6)
    await world.later(hours=7)  # the longest time between two attempts for owed content
    await world.mine(1)


async def require_served(world: World) -> None:
    """A term that runs is served; its blocks are on disk."""
    for key, account in (await accounts_of(world)).items():
        if account.ends is not None and account.ends > world.clock.now():
            pin = await world.books.pin(key)
            assert pin is not None, key
            assert pin.state in LIVE, (pin, account)
            assert (pin.starts, pin.ends) == (account.starts, account.ends)
            assert set(await world.books.held(key.root)) <= await world.blocks_on_disk()


async def require_conserved(world: World) -> None:
    received = [
        output.amount
        for block in world.chain._blocks
        for transaction in block.transactions
        for output in transaction.outputs
    ]
    totals = await totals_of(world.books, world.clock.now())
    assert Swartz.total(totals.values()) == Swartz.total(received)


async def terms_of(world: World) -> dict[PinKey, object]:
    now = world.clock.now()
    return {pin.key: (pin.starts, pin.ends) for pin in await world.books.all_pins() if pin.ends and pin.ends > now}


async def let_all_end(world: World) -> None:
    for _ in range(60):
        now = world.clock.now()
        ends = [a.ends for a in (await accounts_of(world)).values() if a.ends is not None and a.ends > now]
        if not ends:
            break
        await world.pass_time(seconds=(min(ends) - now).total_seconds() + 1)
    for _ in range(4):
        await world.pass_time(days=2)


async def require_nothing_held(world: World) -> None:
    assert not [pin for pin in await world.books.all_pins() if pin.keeps]
    assert await world.blocks_on_disk() == set()
    assert await world.books.unpaid_room() == {}
    for row in await world.books.due(world.clock.now(), 100):
        raise AssertionError(f"due for ever: {row}")


@pytest.mark.parametrize("seed", range(rounds(8, 3_000)))
async def test_whatever_happens_money_is_served_or_owed(seed: int, autojump_clock: MockClock) -> None:
    history = History(random.Random(seed))
    world, left = history.world, STEPS
    await history.come_back()
    while left:
        if history.is_rebuild_due:
            await with_new_books(world)
        history.is_restart_due = history.is_rebuild_due = False
        async with world.running():
            while left and not history.is_restart_due and not history.is_rebuild_due:
                await history.step()
                left -= 1
    async with world.running():
        await calm_down(world)
        await require_served(world)
        await require_conserved(world)
        before = await terms_of(world)
    await with_new_books(world)
    async with world.running():
        await calm_down(world)
        await require_served(world)
        await require_conserved(world)
        assert await terms_of(world) == before
        await let_all_end(world)
        await require_conserved(world)
        await require_nothing_held(world)
        assert {pin.state for pin in await world.books.all_pins()} <= {
            State.RELEASED, State.SHORT, State.SUSPENDED, State.VANISHED, State.OWED
        }  # fmt: skip
