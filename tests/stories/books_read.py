"""Books judged anew from what they hold: the account of a pin, and every swartz as earned, credit or owed."""

from __future__ import annotations

from datetime import datetime

from pinning_worker.domain.money.account import account_of
from pinning_worker.domain.money.payment import Term
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import Pin
from pinning_worker.domain.verdict import settled, term_of, totals
from pinning_worker.ports.books import Books
from pinning_worker.steps.tariffs import Tariffs


async def term_paid_for(books: Books, pin: Pin, now: datetime) -> Term | None:
    payments = await books.payments_of(pin.key)
    return term_of(account_of(settled(payments), await Tariffs(books).rates(pin.root), now))


async def totals_of(books: Books, now: datetime) -> dict[str, Swartz]:
    pins = await books.all_pins()
    rates = {pin.root: await Tariffs(books).rates(pin.root) for pin in pins}
    return totals(await books.all_payments(), pins, rates, now)
