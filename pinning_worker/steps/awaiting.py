"""Awaiting: nothing is freed under a payment on its way that could cover a month.

In a block the payment is awaited until it is deep enough. In the mempool it is awaited for 24 hours after the last
promise on which it may rely: a quote from before its first sight, or the end of a term of the same content. Dust keeps
nothing, and neither a later question of a stranger nor a later invention of a server extends the wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pinning_worker.domain.money.account import account_of
from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.pin import Pin
from pinning_worker.domain.verdict import could_cover, on_their_way, settled
from pinning_worker.ports.books import Books
from pinning_worker.steps.tariffs import rates_of

MEMPOOL_GRACE = timedelta(hours=24)
BLOCK_AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Awaiting:
    books: Books

    async def until(self, pins: Iterable[Pin], now: datetime) -> datetime | None:
        """The latest moment until which payments for these pins hold blocks, if it is still to come."""
        latest = [moment for pin in pins if (moment := await self._until(pin, now)) is not None and moment > now]
        return max(latest, default=None)

    async def _until(self, pin: Pin, now: datetime) -> datetime | None:
        payments, quotes = await self.books.payments_of(pin.key), await self.books.quotes(pin.root)
        rates = rates_of(await self.books.tariffs(), quotes)
        account = account_of(settled(payments), rates, now)
        if not could_cover(payments, account, rates.at(now)):
            return None
        ends = [each.ends for each in await self.books.pins_of(pin.root) if each.ends is not None]
        return max(_waits_until(payment, ends, quotes, now) for payment in on_their_way(payments))


def _waits_until(payment: Payment, ends: Sequence[datetime], quotes: Sequence[Quote], now: datetime) -> datetime:
    if payment.proof is not None:
        return now + BLOCK_AGAIN
    promised = [quote.expires for quote in quotes if quote.issued <= payment.first_seen]
    return max([*promised, *ends], default=payment.first_seen) + MEMPOOL_GRACE
