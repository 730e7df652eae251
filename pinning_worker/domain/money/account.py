"""What money buys: the account of one (CID, name), folded from its payments in the order of the chain.

The account is a function of the proven payments, the tariff log and the closure's bytes. No quote, no question, no
first sight, no clock and no order of reading is an input, so no stranger can use one of them. docs/money.md teaches the
rule with worked cases.

DUE      n months, bought at one rate, cost max(least x ceil(n / 8), ceil(price x bytes x n / MiB)). Over several rates
         each month adds its own exact price, and each eight months begun add the least fee of the rate that begins
         them. The excess of a least fee over the exact price of its months ends with its eight months.
PAYMENT  Its sum and the credit buy every whole month that they cover, at the rate of its block's time. The rest is
         credit: always less than the price of one month more. Nothing is set aside to be bought later.
TERM     It starts at the block time of the payment that buys its first month, and ends so many calendar months (UTC)
         after that start. A block at or before the end extends it, a later one starts a new term.
END      When a term ends and the credit that is there at that moment covers a month at its rate (the rate fell since),
         the term is extended by a month; and again at that end. A later payment extends no end that came before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import Payment, in_chain_order
from pinning_worker.domain.money.pricing import MOST_MONTHS, add_months
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.money.tariff import MIB, Rate, TariffLog, rate_at

LONGEST_TERM_MONTHS = 1200  # a guard against sums that no calendar holds, not a rule of prices


@dataclass(frozen=True, slots=True)
class Due:
    """The price of all months bought so far, together."""

    months: int = 0
    leasts: int = 0  # swartz: the least fees of the eights begun
    exact: int = 0  # swartz x bytes for a MiB and month

    @property
    def amount(self) -> Swartz:
        return Swartz(max(self.leasts, -(-self.exact // MIB)))

    def more(self, rate: Rate, months: int = 1) -> Due:
        """The price with that many months more, at that rate."""
        due = self
        for _ in range(months):
            leasts, exact = due.leasts, due.exact
            if due.months % MOST_MONTHS == 0:  # a new eight begins, and the excess of the last one ends
                leasts, exact = leasts + rate.least.amount, max(exact, leasts * MIB)
            due = Due(due.months + 1, leasts, exact + rate.exact)
        return due


@dataclass(frozen=True, slots=True)
class Bought:
    """One purchase: by a payment, or (no `txid`) from credit at the end of a term. Without a month, all is credit."""

    txid: Txid | None
    at: datetime
    months: int
    amount: Swartz
    rate: Rate | None  # None: the closure was not measured yet


@dataclass(frozen=True, slots=True)
class Account:
    """All proven money of one (CID, name): received = `due.amount` + `credit`, always."""

    due: Due = Due()
    credit: Swartz = ZERO
    starts: datetime | None = None
    length: int = 0  # months of the running (or last) term
    is_over: bool = False  # a payment came after the end, and bought nothing
    history: tuple[Bought, ...] = ()

    @property
    def ends(self) -> datetime | None:
        return add_months(self.starts, self.length) if self.starts else None

    def missing(self, rate: Rate, months: int = 1) -> Swartz:
        """The amount that buys so many months more, beside the credit; zero if the credit covers them."""
        return max(ZERO, self.due.more(rate, months).amount - self.due.amount - self.credit)

    def purchases_of_term(self) -> list[Bought]:
        """The purchases of the running (or last) term, the newest first."""
        left, found = self.length, list[Bought]()
        for bought in reversed(self.history):
            if left > 0 and bought.months:
                left, found = left - bought.months, [*found, bought]
        return found

    @property
    def buyers(self) -> set[Txid]:
        """The payments that bought a month."""
        return {each.txid for each in self.history if each.txid is not None and each.months}


@dataclass(frozen=True, slots=True)
class Rates:
    """The operator's log and one closure's bytes: together the rate of each moment."""

    log: TariffLog
    measured: Mapping[int, int]  # bytes under each rule of measuring; empty: not measured yet

    def at(self, moment: datetime) -> Rate | None:
        return rate_at(moment, self.log, self.measured)


def account_of(payments: Iterable[Payment], rates: Rates, now: datetime) -> Account:
    """The account as of `now`, in time linear in the payments. `payments`: of one (CID, name), in any order; those
    without a proof are passed over."""
    account, history = Account(), list[Bought]()
    for payment in in_chain_order(payments):
        if payment.proof is not None:
            account = _extended_until(payment.proof.time, account, rates, history)
            account = _paid(payment, payment.proof.time, account, rates, history)
    account = _extended_until(now, account, rates, history)
    return replace(account, history=tuple(history))


def _extended_until(moment: datetime, account: Account, rates: Rates, history: list[Bought]) -> Account:
    """Extends the term from credit at each of its ends before `moment`."""
    while account.ends is not None and account.ends < moment and not account.is_over:
        rate = rates.at(account.ends)
        if rate is None or account.missing(rate) > ZERO:
            break
        due = account.due.more(rate)
        cost = due.amount - account.due.amount
        history.append(Bought(None, account.ends, 1, cost, rate))
        account = replace(account, due=due, credit=account.credit - cost, length=account.length + 1)
    return account


def _paid(payment: Payment, at: datetime, account: Account, rates: Rates, history: list[Bought]) -> Account:
    rate, covered, due = rates.at(at), account.due.amount + account.credit + payment.amount, account.due
    runs = account.ends is not None and at <= account.ends
    starts, length = (account.starts, account.length) if runs else (at, 0)
    while rate is not None and length < LONGEST_TERM_MONTHS and (after := due.more(rate)).amount <= covered:
        due, length = after, length + 1
    history.append(Bought(payment.txid, at, due.months - account.due.months, due.amount - account.due.amount, rate))
    if due == account.due:
        is_over = account.is_over or (account.ends is not None and not runs)
        return replace(account, credit=covered - due.amount, is_over=is_over)
    return Account(due, covered - due.amount, starts, length)
