"""Books = chain: after a random history, a stranger who reads the raw blocks reckons the same as the books say.

The fold below is this test's own. It reads the transactions of the blocks, the operator's log of prices and the bytes
of the content, in plain integers, and shares no code with `domain/money`: where the two differ, one of them is wrong.
"""

from __future__ import annotations

import calendar
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from trio.testing import MockClock

from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.identities import NameBytes
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import Pin, PinKey, State
from pinning_worker.domain.verdict import account_as_of
from pinning_worker.steps.tariffs import Prices, Tariffs
from tests import content
from tests.soak import rounds
from tests.stories.world import World

MIB, NOTICE, SLACK = 1_048_576, timedelta(days=31), timedelta(hours=2)
WORKS = [content.file(content.noise(size, size)) for size in (12_000, 40_000)]
NAMES = ("a", "b")
CONFIRMATIONS = 3  # of `world.terms`
PRICES = (
    (30_000_000, 500_000),
    (60_000_000, 900_000),
    (9_000_000, 200_000),
    (4_000_000, 90_000),
)  # months cost 50 000 up
SIZES = {str(cid): sum(map(len, blocks.values())) for cid, blocks in WORKS}


# --- the stranger's fold


@dataclass
class Paid:
    height: int
    at: datetime
    amount: int


@dataclass
class Price:
    """In swartz: for a MiB and month, and at least for each eight months begun."""

    since: datetime
    per_mib: int
    least: int


@dataclass
class Reckoned:
    months: int = 0
    leasts: int = 0
    exact: int = 0  # swartz x bytes
    received: int = 0
    starts: datetime | None = None
    length: int = 0
    is_over: bool = False  # a payment came after the end, and bought nothing

    def spent(self) -> int:
        return max(self.leasts, -(-self.exact // MIB))

    def credit(self) -> int:
        return self.received - self.spent()

    def ends(self) -> datetime | None:
        return month_after(self.starts, self.length) if self.starts else None

    def buys_a_month(self, exact: int, least: int) -> bool:
        """Buys one month at that rate if the money covers it."""
        leasts, exacts = self.leasts, self.exact
        if self.months % 8 == 0:
            leasts, exacts = leasts + least, max(exacts, leasts * MIB)
        exacts += exact
        if max(leasts, -(-exacts // MIB)) > self.received:
            return False
        self.months, self.leasts, self.exact = self.months + 1, leasts, exacts
        return True


def month_after(start: datetime, months: int) -> datetime:
    year, month = start.year + (start.month - 1 + months) // 12, (start.month - 1 + months) % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


def rate(prices: Sequence[Price], size: int, at: datetime) -> tuple[int, int]:
    nexts = [each.since for each in prices[1:]]
    honoured = [
        price
        for place, price in enumerate(prices)
        if (price.since <= at + SLACK or place == 0) and (place == len(nexts) or at < nexts[place] + NOTICE)
    ]
    return min(price.per_mib for price in honoured) * size, min(price.least for price in honoured)


def reckoned(paid: Sequence[Paid], prices: Sequence[Price], size: int, until: datetime) -> Reckoned:
    """The account as of `until`, from payments in the order of the chain."""
    account = Reckoned()
    for payment in paid:
        go_on(account, prices, size, payment.at)
        account.received += payment.amount
        ends = account.ends()
        runs, bought = ends is not None and payment.at <= ends, 0
        while account.buys_a_month(*rate(prices, size, payment.at)):
            bought += 1
        if bought and runs:
            account.length += bought
        elif bought:
            account.starts, account.length, account.is_over = payment.at, bought, False
        elif ends is not None and not runs:
            account.is_over = True
    go_on(account, prices, size, until)
    return account


def go_on(account: Reckoned, prices: Sequence[Price], size: int, until: datetime) -> None:
    """Credit extends the term at each end before that moment."""
    while (ends := account.ends()) is not None and ends < until and not account.is_over:
        if not account.buys_a_month(*rate(prices, size, ends)):
            return
        account.length += 1


def read_blocks(chain: MemoryChain) -> dict[tuple[str, str], list[Paid]]:
    """The payments in deep blocks, by the CID and the name that their transactions write."""
    found: dict[tuple[str, str], list[Paid]] = {}
    for height, block in enumerate(chain._blocks[: len(chain._blocks) - CONFIRMATIONS + 1]):
        for transaction in block.transactions:
            value, name = (transaction.value or b"").decode(), (transaction.name or b"").decode()
            amount = sum(output.amount.amount for output in transaction.outputs)
            found.setdefault((value.removeprefix("ipfs://"), name), []).append(Paid(height, block.time, amount))
    return found


# --- the history


class History:
    """What customers, strangers, the operator and the miners do, by the seed."""

    def __init__(self, world: World, seed: int) -> None:
        self._world, self._dice = world, random.Random(seed)

    async def happen(self, steps: int) -> None:
        doings = [self._pay, self._pay, self._ask, self._set_prices, self._reorg, self._days, self._days, self._mine]
        for _ in range(steps):
            await self._dice.choice(doings)()

    def _work(self) -> Cid:
        return self._dice.choice(WORKS)[0]

    async def _pay(self) -> None:
        amount = self._dice.choice([1, 150_000, 600_000, 1_000_000, 2_500_000, self._dice.randrange(1, 9_000_000)])
        also = self._dice.choice([None, None, 1, 300_000])
        await self._world.pay(self._work(), amount, self._dice.choice(NAMES), also=also)

    async def _ask(self) -> None:
        await self._world.say(f"NEW-CID:{self._work()}", peer=f"stranger {self._dice.randrange(9)}")

    async def _set_prices(self) -> None:
        await self._world.set_prices(*self._dice.choice(PRICES))

    async def _reorg(self) -> None:
        tip = await self._world.chain.tip()
        assert tip is not None
        if tip.height > 5:
            newest = self._world.chain.transactions()[-1:] if self._dice.random() < 0.3 else []
            await self._world.chain.reorg(self._dice.randint(1, 5), drop=newest)
            await self._world.settle()

    async def _days(self) -> None:
        for _ in range(self._dice.choice([1, 4, 8, 12])):
            await self._world.pass_time(days=3)

    async def _mine(self) -> None:
        await self._world.later(minutes=self._dice.choice([1, 10, 90]))
        await self._world.mine(self._dice.choice([1, 2, 3, 6]))


async def at_rest(world: World) -> None:
    """Until no payment waits for a block or for depth, and both clocks agree."""
    await world.mine(30)
    await world.pass_time(hours=6)
    await world.mine(12)


# --- the two compared


def pins_expected(world: World) -> Iterator[tuple[PinKey, str, list[Paid]]]:
    for (cid, name), paid in read_blocks(world.chain).items():
        root = next(each.key for each, _ in WORKS if str(each) == cid)
        yield PinKey(root, NameBytes(name.encode())), cid, paid


async def compare(world: World) -> None:
    prices = [Price(each.since, each.per_mib_month.amount, each.least.amount) for each in await world.books.tariffs()]
    total = 0
    for key, cid, paid in pins_expected(world):
        total += sum(each.amount for each in paid)
        pin = await world.books.pin(key)
        assert pin is not None
        await compare_pin(world, pin, paid, prices, SIZES[cid])
    assert total == sum(each.amount.amount for each in await world.books.all_payments() if each.proof is not None)


async def compare_pin(world: World, pin: Pin, paid: Sequence[Paid], prices: Sequence[Price], size: int) -> None:
    tip, now = await world.chain.tip(), world.clock.now()
    assert tip is not None
    theirs = reckoned(paid, prices, size, min(now, tip.median_time))
    payments, rates = await world.books.payments_of(pin.key), await Tariffs(world.books).rates(pin.root)
    ours = account_as_of(pin, payments, rates, tip, now)
    assert (ours.due.months, ours.credit.amount, ours.starts, ours.ends) == (
        theirs.months,
        theirs.credit(),
        theirs.starts,
        theirs.ends(),
    )
    ends = theirs.ends()
    if ends is None:
        assert pin.state in {State.SHORT, State.SEEN, State.VANISHED}, pin
    elif ends > now:
        assert (pin.state in {State.PINNED, State.EXPIRING}, pin.starts, pin.ends) == (True, theirs.starts, ends), pin
    else:
        assert (pin.state, pin.ends) == (State.RELEASED, ends), pin


@pytest.mark.parametrize("seed", range(rounds(4, 400)))
async def test_a_stranger_who_reads_the_blocks_reckons_what_the_books_say(seed: int, autojump_clock: MockClock) -> None:
    async with World(prices=Prices(*map(Swartz, PRICES[0]))).running() as world:
        for cid, blocks in WORKS:
            world.offer(blocks)
            await world.quoted(cid)
        await History(world, seed).happen(24)
        await at_rest(world)
        await compare(world)
