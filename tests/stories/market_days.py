"""A market of customers, told in advance: what they ask and pay, and what the chain does, as one list by time.

It follows from the seed alone, so that a worker's every life, and whoever judges it afterwards, sees the same world.
First come busy weeks (hourly blocks, reorgs, double spends), then nobody asks or pays any more and blocks go on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pinning_worker.adapters.memory.chain import MemoryChain
from pinning_worker.adapters.memory.clock import START
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.payment import PaidOutput, Sighting
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import Tariff, fee
from pinning_worker.steps.tariffs import Prices
from tests import content

PRICES = Prices(Swartz(300_000_000), Swartz(500_000))  # a work of 3 kB costs about a million a month
MARKET_CLOSES = START + timedelta(days=14)
ALL_IS_CALM = MARKET_CLOSES + timedelta(days=4)  # every payment is deep, every reorg buried, no first term over


@dataclass(frozen=True, slots=True)
class Work:
    cid: Cid
    blocks: content.Blocks

    def price(self, months: int) -> int:
        tariff = Tariff(1, START, PRICES.per_mib_month, PRICES.least)
        return fee(tariff, sum(map(len, self.blocks.values())), months).amount


@dataclass(frozen=True, slots=True)
class Asked:
    text: str


@dataclass(frozen=True, slots=True)
class Paid:
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Mined:
    blocks: int


@dataclass(frozen=True, slots=True)
class Reorged:
    depth: int
    double_spend: bool  # the newest transaction of the chain is not in the new branch, nor in the mempool


Event = Asked | Paid | Mined | Reorged


PICTURE = content.noise(3_000)


def works() -> list[Work]:
    """Two that share a picture, a file of several blocks, and one block alone."""
    shared = [content.nft(PICTURE, name) for name in ("one", "two")]
    made = [Work(metadata, blocks) for metadata, _, blocks in shared]
    return [*made, Work(*content.file(content.noise(4_000, 2), chunk=256)), Work(*content.file(content.noise(900, 3)))]


def window_goods() -> list[Work]:
    """What is asked for and never paid: it comes and goes, some of it with the picture that others keep."""
    copies = [content.nft(PICTURE, f"copy {number}") for number in range(50)]
    files = [Work(*content.file(content.noise(300, number), chunk=100)) for number in range(100, 200)]
    return [*files, *(Work(metadata, blocks) for metadata, _, blocks in copies)]


def market(seed: int) -> Iterator[tuple[datetime, Event]]:
    """Never ends: after the market has closed, blocks come hourly until all is calm, then six a day."""
    customers = _Customers(random.Random(seed))
    moment = START
    while moment < MARKET_CLOSES:
        for event in customers.one_hour():
            moment += timedelta(minutes=10)
            yield moment, event
        moment += timedelta(minutes=30)
    while moment < ALL_IS_CALM:
        moment += timedelta(hours=1)
        yield moment, Mined(1)
    while True:
        moment += timedelta(days=1)
        yield moment, Mined(6)


class _Customers:
    def __init__(self, dice: random.Random) -> None:
        self._dice, self._works, self._window = dice, works(), window_goods()

    def one_hour(self) -> Iterator[Event]:
        if self._dice.random() < 0.6:
            yield Asked(self._question())
        if self._dice.random() < 0.08:
            yield self._payment()
        if self._dice.random() < 0.02:
            yield Reorged(self._dice.randint(1, 5), double_spend=self._dice.random() < 0.3)
        yield Mined(self._dice.choice([0, 1, 1, 1, 2]))

    def _question(self) -> str:
        goods = self._works if self._dice.random() < 0.5 else self._window
        cid, months = self._dice.choice(goods).cid, self._dice.choice([1, 1, 2])
        return f'{{"type":"NEW-CID","cid":"{cid}","durationMonths":{months}}}'

    def _payment(self) -> Paid:
        """For one or two months exactly, too little, too much; in one output or two; now and then for no CID at all."""
        work, name = self._dice.choice(self._works), self._dice.choice([b"a", b"b"])
        one, two = work.price(1), work.price(2)
        amount = self._dice.choice([one, one, one, two, two, one // 3, two + one // 2])
        first = self._dice.choice([amount, amount - 1000])
        outputs = tuple(PaidOutput(vout, Swartz(part)) for vout, part in ((1, first), (3, amount - first)) if part)
        value = b"no cid" if self._dice.random() < 0.05 else f"ipfs://{work.cid}".encode()
        txid = Txid(self._dice.randbytes(32).hex())
        return Paid(Sighting(txid, NameBytes(name), value, outputs, None))


async def happen(event: Asked | Paid | Mined | Reorged, chain: MemoryChain) -> None:
    """What it does to the chain, whose listener hears of it."""
    match event:
        case Paid(sighting):
            await chain.broadcast(sighting)
        case Mined(blocks):
            await chain.mine(blocks)
        case Reorged(depth, double_spend):
            newest = chain.transactions()[-1:] if double_spend else []
            await chain.reorg(min(depth, await _height(chain)), drop=newest)
        case Asked():
            pass


async def _height(chain: MemoryChain) -> int:
    tip = await chain.tip()
    assert tip is not None
    return tip.height
