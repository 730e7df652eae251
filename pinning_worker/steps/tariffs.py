"""Tariffs in the books: the log that judges payments, and the rates of one closure.

The log is read at each use: the operator sets a tariff with a command while the worker runs, and the next quote names
it. The settings give the first tariff only; afterwards the books win.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.sizes import MEASURE
from pinning_worker.domain.money.account import Rates
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import Rate, Tariff, TariffLog, quoted_at
from pinning_worker.ports.books import Books


@dataclass(frozen=True, slots=True)
class Prices:
    """The operator's prices in the settings."""

    per_mib_month: Swartz
    least: Swartz


def rates_of(log: TariffLog, quotes: Sequence[Quote]) -> Rates:
    """The rates of a closure that its quotes have measured."""
    return rates_measured(log, ((quote.tariff, quote.sizes.total) for quote in quotes))


def rates_measured(log: TariffLog, sizes: Iterable[tuple[int, int]]) -> Rates:
    """The rates of a closure, from (number of a tariff, bytes). A closure's bytes follow from its CID, so every quote
    under one rule of measuring has the same. Should an older version of the worker have counted less, the least counts:
    what was bought is never taken back."""
    measure_of, measured = {tariff.number: tariff.measure for tariff in log}, dict[int, int]()
    for number, size in sizes:
        measure = measure_of.get(number, MEASURE)
        measured[measure] = min(size, measured.get(measure, size))
    return Rates(log, measured)


def rate_of(quote: Quote, rates: Rates) -> Rate:
    """The rate that a quote promises, which is honoured while the quote lives."""
    tariff = next((each for each in rates.log if each.number == quote.tariff), rates.log[0])
    return Rate(tariff.per_mib_month.amount * quote.sizes.total, tariff.least)


@dataclass(frozen=True, slots=True)
class Tariffs:
    books: Books

    async def rates(self, root: Root) -> Rates:
        return rates_of(await self.books.tariffs(), await self.books.quotes(root))


async def begin_tariffs(books: Books, prices: Prices, now: datetime) -> TariffLog:
    """Writes the first tariff of books that have none of their own; returns the log. Call it before the stories begin.
    Raises Trouble."""
    log = await books.tariffs()
    if not has_begun(log):
        await books.add_tariff(next_tariff(log, prices, now))
    return await books.tariffs()


def has_begun(log: TariffLog) -> bool:
    """Whether the log has a tariff of this version, not only those that a migration derived."""
    return bool(log) and not log[-1].is_derived


def next_tariff(log: TariffLog, prices: Prices, now: datetime) -> Tariff:
    """The tariff that would be appended now. Never before the last one, though a clock was set back."""
    since = max([now.replace(microsecond=0), *(tariff.since for tariff in log[-1:])])
    return Tariff(len(log) + 1, since, prices.per_mib_month, prices.least)


def differs(log: TariffLog, prices: Prices, now: datetime) -> bool:
    """Whether the settings name other prices than the tariff that is quoted now."""
    tariff = quoted_at(now, log)
    return (tariff.per_mib_month, tariff.least) != (prices.per_mib_month, prices.least)
