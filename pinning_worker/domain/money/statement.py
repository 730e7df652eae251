"""The operator's statement: every swartz received, as postings of one kind each, so that the sums cannot disagree.

    received = earned + unearned + credit + owed + refunded + closed

A purchase is earned evenly over its months, by the share of their time that has passed: that many byte-months are
delivered. The rest is unearned, and posted in the months to come. Of content that is not here everything is owed, until
it is here again. All sums are whole swartz: a share is the difference of two rounded sums, so the months of a purchase
add up to its price.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.account import Account, Bought, Rates, account_of
from pinning_worker.domain.money.entry import Entry, EntryKind
from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.money.tariff import MIB, Tariff, honoured_at

_MICROSECOND = timedelta(microseconds=1)
Group = TypeVar("Group")


class Kind(Enum):
    RECEIVED = "received"
    EARNED = "earned"
    UNEARNED = "unearned"
    CREDIT = "credit"
    OWED = "owed"
    REFUNDED = "refunded"
    CLOSED = "closed"


USES = tuple(kind for kind in Kind if kind is not Kind.RECEIVED)
"""Each received swartz is of one of these kinds."""


@dataclass(frozen=True, slots=True)
class Holding:
    """All payments that count of one (CID, name), or those for it without a pin."""

    root: Root  # empty: the payments name no CID
    name: NameBytes
    cid_text: str
    payments: tuple[Payment, ...]
    rates: Rates
    until: datetime  # credit extends the term at its ends before that moment
    is_owed: bool  # the content is not here, or nothing was ever sold

    def account(self) -> Account:
        return account_of(self.payments, self.rates, self.until)


@dataclass(frozen=True, slots=True)
class Purchase:
    """Months that were bought at once, and the time in which they are delivered."""

    bought: Bought
    starts: datetime
    ends: datetime
    tariff: int | None  # its price decided; None: not measured then
    size: int

    def earned_until(self, moment: datetime) -> Swartz:
        return Swartz(self._share(self.bought.amount.amount, moment))

    def byte_months_after(self, moment: datetime) -> int:
        return self.size * self.bought.months - self._share(self.size * self.bought.months, moment)

    def _share(self, whole: int, moment: datetime) -> int:
        passed, time = min(max(moment, self.starts), self.ends) - self.starts, self.ends - self.starts
        return whole * (passed // _MICROSECOND) // (time // _MICROSECOND)


@dataclass(frozen=True, slots=True)
class Posting:
    """An amount of one kind. `period`: the UTC month of the block, of the delivery, of the entry; of balances, now."""

    kind: Kind
    amount: Swartz
    period: str
    root: Root
    name: NameBytes
    cid_text: str
    tariff: int | None = None


def purchases(holding: Holding) -> list[Purchase]:
    """The purchases of an account in the order of their time; those without a month are left out."""
    found: list[Purchase] = []
    starts, length = None, 0
    for bought in holding.account().history:
        if not bought.months:
            continue
        if starts is None or bought.at > add_months(starts, length):
            starts, length = bought.at, 0
        begins, length = add_months(starts, length), length + bought.months
        tariff = deciding_tariff(bought.at, holding.rates)
        size = holding.rates.measured[tariff.measure] if tariff else 0
        number = tariff.number if tariff else None
        found.append(Purchase(bought, begins, add_months(starts, length), number, size))
    return found


def deciding_tariff(moment: datetime, rates: Rates) -> Tariff | None:
    """The tariff with the lowest price of those honoured at that moment, the newest of equal ones."""
    known = [tariff for tariff in honoured_at(moment, rates.log) if tariff.measure in rates.measured]
    return min(
        known, key=lambda each: (each.per_mib_month.amount * rates.measured[each.measure], -each.number), default=None
    )


def statement(holdings: Iterable[Holding], entries: Iterable[Entry], now: datetime) -> list[Posting]:
    """The postings of all holdings. `entries`: the operator's log."""
    of_payment: dict[Txid, list[Entry]] = {}
    for entry in entries:
        of_payment.setdefault(entry.txid, []).append(entry)
    return [posting for holding in holdings for posting in _postings(holding, of_payment, now) if posting.amount]


def _postings(holding: Holding, entries: Mapping[Txid, list[Entry]], now: datetime) -> Iterator[Posting]:
    def post(kind: Kind, amount: Swartz, moment: datetime, tariff: int | None = None) -> Posting:
        return Posting(kind, amount, period_of(moment), holding.root, holding.name, holding.cid_text, tariff)

    for payment in holding.payments:
        if payment.proof is not None:
            yield post(Kind.RECEIVED, payment.received, payment.proof.time)
        for entry in entries.get(payment.txid, ()):
            if entry.kind is not EntryKind.ASSIGNED:
                yield post(_OUT[entry.kind], entry.amount, entry.at)
    account = holding.account()
    if holding.is_owed:
        yield post(Kind.OWED, account.due.amount + account.credit, now)
        return
    yield post(Kind.CREDIT, account.credit, now)
    for purchase in purchases(holding):
        for begins, ends in _pieces(purchase.starts, purchase.ends, now):
            amount = purchase.earned_until(ends) - purchase.earned_until(begins)
            yield post(Kind.EARNED if ends <= now else Kind.UNEARNED, amount, begins, purchase.tariff)


_OUT = {EntryKind.REFUNDED: Kind.REFUNDED, EntryKind.CLOSED: Kind.CLOSED}


def period_of(moment: datetime) -> str:
    """`2026-11`"""
    return moment.astimezone(UTC).strftime("%Y-%m")


def next_period(moment: datetime) -> datetime:
    """The first moment of the next UTC month."""
    return add_months(moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0), 1)


def _pieces(starts: datetime, ends: datetime, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The span, cut at the begin of each UTC month and at `now`."""
    while starts < ends:
        until = min(next_period(starts), ends)
        until = now if starts < now < until else until
        yield starts, until
        starts = until


def sums(postings: Iterable[Posting], group: Callable[[Posting], Group]) -> dict[Group, dict[Kind, Swartz]]:
    """The sum of each kind, by group."""
    found: dict[Group, Counter[Kind]] = {}
    for posting in postings:
        found.setdefault(group(posting), Counter())[posting.kind] += posting.amount.amount
    return {key: {kind: Swartz(counted[kind]) for kind in Kind} for key, counted in found.items()}


def total(postings: Iterable[Posting]) -> dict[Kind, Swartz]:
    return sums(postings, lambda _: None).get(None) or dict.fromkeys(Kind, ZERO)


def adds_up(found: Mapping[Kind, Swartz]) -> bool:
    """Whether every received swartz has its use."""
    return found[Kind.RECEIVED] == Swartz.total(found[kind] for kind in USES)


def least_fee_part(holding: Holding) -> Swartz:
    """Of what was bought: the part that least fees took beyond the exact price of the months."""
    account = holding.account()
    exact = sum(bought.rate.exact * bought.months for bought in account.history if bought.rate is not None)
    return account.due.amount - Swartz(-(-exact // MIB))


def refundable(holding: Holding, txid: Txid) -> Swartz:
    """The largest part of a payment that can go back and takes no bought month away: all of it, where the content is
    not here; else what was credit ever since."""
    amounts = {payment.txid: payment.amount for payment in holding.payments}
    if txid not in amounts or holding.is_owed:
        return amounts.get(txid, ZERO)
    credit, least = ZERO, None
    for bought in holding.account().history:
        credit = credit - bought.amount + (amounts[bought.txid] if bought.txid is not None else ZERO)
        if bought.txid == txid or least is not None:
            least = credit if least is None else min(least, credit)
    return min(least or ZERO, amounts[txid])


# ---------------------------------------------------------------- liabilities


@dataclass(frozen=True, slots=True)
class Liabilities:
    """What is still to be delivered. `disk`: (date, bytes), today and at the begin of each month with a running term;
    blocks that closures share are counted for each of them, so a disk needs no more."""

    byte_months: int
    terms: int  # that run
    disk: tuple[tuple[datetime, int], ...]


def liabilities(holdings: Iterable[Holding], now: datetime) -> Liabilities:
    byte_months, terms, ends = 0, 0, dict[Root, tuple[datetime, int]]()
    for holding in holdings:
        running = [purchase for purchase in purchases(holding) if purchase.ends > now]
        byte_months += sum(purchase.byte_months_after(now) for purchase in running)
        terms += bool(running)
        for purchase in running:
            latest = ends.get(holding.root, (now, 0))
            ends[holding.root] = max(latest, (purchase.ends, purchase.size))
    return Liabilities(byte_months, terms, tuple(_disk(list(ends.values()), now)))


def _disk(closures: Sequence[tuple[datetime, int]], now: datetime) -> Iterator[tuple[datetime, int]]:
    moment, last = now, max((end for end, _ in closures), default=now)
    yield now, sum(size for _, size in closures)
    while (moment := next_period(moment)) < last:
        yield moment, sum(size for end, size in closures if end > moment)
