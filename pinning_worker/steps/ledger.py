"""The ledger: all money in the books, as the operator's statement (`domain/money/statement.py`) sees it.

Read by commands beside a running worker. A payment of a pin counts once it is settled; money without a pin counts from
its block on, and is owed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.account import Rates
from pinning_worker.domain.money.entry import EntryLog
from pinning_worker.domain.money.payment import Payment, in_chain_order
from pinning_worker.domain.money.statement import Holding
from pinning_worker.domain.money.tariff import TariffLog
from pinning_worker.domain.pin import Pin, PinKey, State
from pinning_worker.domain.verdict import settled
from pinning_worker.ports.books import Books
from pinning_worker.steps.tariffs import rates_measured


@dataclass(frozen=True, slots=True)
class Ledger:
    """All money at one moment. `payments`: every one, those that do not count included, in chain order."""

    now: datetime
    tariffs: TariffLog
    entries: EntryLog
    payments: tuple[Payment, ...]
    pins: Mapping[PinKey, Pin]
    holdings: Mapping[PinKey, Holding]
    counting: frozenset[Txid]

    def holding_of(self, payment: Payment) -> Holding | None:
        """The account in which it counts; None if it does not count."""
        return self.holdings[key_of(payment)] if payment.txid in self.counting else None

    def on_their_way(self) -> list[Payment]:
        """Payments that may count later."""
        return [each for each in self.payments if not each.gone and each.txid not in self.counting]


async def read_ledger(books: Books, now: datetime) -> Ledger:
    """Raises Trouble."""
    tariffs, entries, measured = await books.tariffs(), await books.entries(), await books.measured()
    payments = tuple(in_chain_order(await books.all_payments()))
    pins = {pin.key: pin for pin in await books.all_pins()}
    by_key: dict[PinKey, list[Payment]] = {key: [] for key in pins}
    for payment in payments:
        by_key.setdefault(key_of(payment), []).append(payment)
    holdings = {
        key: _holding(key, pins.get(key), of_key, rates_measured(tariffs, measured.get(key.root, {}).items()), now)
        for key, of_key in by_key.items()
    }
    counting = frozenset(payment.txid for holding in holdings.values() for payment in holding.payments)
    return Ledger(now, tariffs, entries, payments, pins, holdings, counting)


def key_of(payment: Payment) -> PinKey:
    return PinKey(payment.root, payment.name)


def _holding(key: PinKey, pin: Pin | None, payments: Sequence[Payment], rates: Rates, now: datetime) -> Holding:
    if pin is None:
        text = payments[0].cid_text if payments else ""
        proven = tuple(payment for payment in payments if payment.proof is not None)
        return Holding(key.root, key.name, text, proven, Rates(rates.log, {}), now, is_owed=True)
    counting = tuple(settled(payments))
    return Holding(key.root, key.name, pin.cid_text, counting, rates, pin.ends or now, pin.state is State.OWED)
