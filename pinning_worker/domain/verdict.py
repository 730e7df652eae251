"""The verdict on a pin's payments: the whole decision, pure, so that the story only stores and announces it.

The story calls `judge` whenever something may have changed: a payment seen, a block, a reorg, content that came back.
`judge` takes all facts as arguments and changes nothing; a second call with the same facts gives nothing new. The money
is `domain/money/account.py`; this page turns an account into the state of a pin, and into messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.money.account import Account, Rates, account_of
from pinning_worker.domain.money.payment import Payment, Term, Tip, in_chain_order, is_deep
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.money.tariff import Rate, least_at
from pinning_worker.domain.pin import LIVE, Event, Pin, PinKey, State, allows
from pinning_worker.domain.topic.messages import Message, PaymentGone, PaymentSeen, PaymentShort


@dataclass(frozen=True, slots=True)
class Depth:
    """Depths in blocks. A payment counts at `confirmations` (1: the block that holds it). Credit for a payment that a
    reorg took back ends when the reorg is `credit_blocks` deep."""

    confirmations: int
    credit_blocks: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What was offered for the pin's root. It decides no money: messages name it. `least_told`: a smaller payment is
    booked, and nobody is told of it."""

    quotes: Sequence[Quote]
    least_told: Swartz


@dataclass(frozen=True, slots=True)
class Verdict:
    pin: Pin  # the pin to store; the same object as the argument if nothing changed
    payments: tuple[Payment, ...]  # the changed ones
    say: tuple[Message, ...]
    account: Account  # of the payments that count

    def uncounted(self, before: Sequence[Payment]) -> list[Payment]:
        """The payments of `before` that counted and no longer do."""
        lost = {payment.txid for payment in self.payments if not payment.settled}
        return [payment for payment in before if payment.settled and payment.txid in lost]


def judge(
    pin: Pin, payments: Sequence[Payment], rates: Rates, offer: Offer, *, held: bool, tip: Tip, depth: Depth,
    now: datetime,
) -> Verdict:  # fmt: skip
    """`payments`: all of this pin. `held`: the whole closure is on disk."""
    on_credit = pin.state in LIVE and not _is_buried(pin, tip, depth)
    counting = payments if on_credit else [_uncounted(each) if _is_lost(each) else each for each in payments]
    judged = _settled(counting, tip, depth.confirmations)
    account = account_as_of(pin, judged, rates, tip, now)
    counted = {payment.txid for payment in payments if payment.settled}
    news = [payment for payment in judged if payment.settled and payment.txid not in counted]
    after = _next(pin, judged, news, account, rates, held=held, tip=tip, depth=depth, now=now)
    lost_its_term = after.state is State.SHORT and pin.state in {State.OWED, *LIVE}
    short = _short(pin, news or (judged if lost_its_term else ()), account, rates, offer, now)
    noted, seen = _count_confirmations(judged, offer, tip, depth.confirmations)
    before = {payment.txid: payment for payment in payments}
    changed = tuple(payment for payment in noted if payment != before[payment.txid])
    return Verdict(after, changed, (*seen, *short), account)


def settled(payments: Iterable[Payment]) -> list[Payment]:
    """The payments that count: deep enough once, and in a block of our chain now."""
    return [payment for payment in payments if payment.settled and payment.proof is not None]


def is_given_back(payments: Iterable[Payment]) -> bool:
    """Whether money counted, and the operator's entries have taken out all of it."""
    counted = [payment for payment in payments if payment.settled]
    return bool(counted) and not any(payment.amount for payment in counted)


def on_their_way(payments: Iterable[Payment]) -> list[Payment]:
    """The payments that may count later: in the mempool, or in a block that is not deep enough."""
    return [payment for payment in payments if not payment.settled and not payment.gone]


def could_cover(payments: Iterable[Payment], account: Account, rate: Rate | None) -> bool:
    """Whether the payments on their way may buy a month, together and with the credit. Dust keeps nothing."""
    coming = on_their_way(payments)
    return bool(coming) and rate is not None and account.missing(rate) <= Swartz.total(each.amount for each in coming)


def account_as_of(pin: Pin, payments: Sequence[Payment], rates: Rates, tip: Tip, now: datetime) -> Account:
    """The account of the payments that count. Credit extends a term at ends that both clocks have passed."""
    moment = min(now, tip.median_time)
    if pin.ends is not None and waits_for_depth(pin, payments):
        moment = min(moment, pin.ends)
    return account_of(settled(payments), rates, moment)


def waits_for_depth(pin: Pin, payments: Iterable[Payment]) -> bool:
    """Whether a payment in a block from before the pin's end is not deep enough yet: it buys first, and only then does
    credit extend the term. (A block that is still to come is younger than the median of the last 11, so than the end.)
    """
    return any(
        payment.proof is not None and pin.ends is not None and payment.proof.time <= pin.ends
        for payment in on_their_way(payments)
    )


def _is_buried(pin: Pin, tip: Tip, depth: Depth) -> bool:
    """Whether the reorg that took a payment back is so deep that the credit ends."""
    if pin.state is not State.CREDIT or pin.unproven_at is None:
        return False
    return tip.height - pin.unproven_at >= depth.credit_blocks


def _is_lost(payment: Payment) -> bool:
    """Whether it counted, and then a reorg took its block away."""
    return payment.settled and payment.proof is None


def _uncounted(payment: Payment) -> Payment:
    """A payment that is proven again counts again once it is deep enough."""
    return replace(payment, settled=False)


def _settled(payments: Sequence[Payment], tip: Tip, confirmations: int) -> list[Payment]:
    """Counts each deep enough payment, in chain order."""
    return [
        replace(each, settled=True) if not each.settled and is_deep(each, tip, confirmations) else each
        for each in in_chain_order(payments)
    ]


def _next(
    pin: Pin,
    judged: Sequence[Payment],
    news: Sequence[Payment],
    account: Account,
    rates: Rates,
    *,
    held: bool,
    tip: Tip,
    depth: Depth,
    now: datetime,
) -> Pin:
    term = term_of(account)
    # A reorg took back a payment that the pin's term needs: keep the content on credit until it is proven again.
    if any(map(_is_lost, judged)) and not _others_carry(pin, term):
        return _on_credit(pin, tip)
    runs = term is not None and term.ends > now
    # Proven payments bought a term: confirm it, or owe it while the content is missing. A term that is over counts
    # only for a pin that has not come to an end yet. (One on credit is proven again: two clocks end its term.)
    is_buried = _is_buried(pin, tip, depth)
    if term is not None and (runs or pin.state not in _AT_AN_END or (pin.state is State.CREDIT and not is_buried)):
        return _bought(pin, term, held=held and runs, now=now)
    # On credit for as many blocks as `depth.credit_blocks` allows: the credit ends.
    if is_buried:
        return pin.moved(Event.BURIED, None, reason=f"not proven again within {depth.credit_blocks} blocks")
    # The pin came to an end, and no new term runs: nothing changes.
    if term is not None or pin.state in {State.SUSPENDED, State.RELEASED}:
        return pin
    # The operator refunded or closed all of it: nothing is owed any more.
    if pin.state in {State.OWED, State.SHORT} and is_given_back(judged):
        return pin.moved(Event.CLOSED, None, reason="refunded or closed")
    # Money is settled and bought nothing: it is less than a month's price, or nothing was ever measured.
    if any(payment.settled for payment in judged):
        return _unspent(pin, news, account, rates, now)
    # No payment is left in any block or mempool.
    if all(payment.gone for payment in judged):
        return pin if pin.state is State.VANISHED else _moved_once(pin, Event.VANISHED, "the payment left the mempool")
    # A reorg took back a settled payment that had bought nothing: it waits for confirmations again.
    if allows(pin.state, Event.UNPROVEN):
        return pin.moved(Event.UNPROVEN, None, reason="a reorg took its payment back")
    # A server shows a payment, and it has too few confirmations.
    return pin if pin.state is State.SEEN else _moved_once(pin, Event.SEEN, "")


NEVER_QUOTED = "paid, but never quoted"

_AT_AN_END = frozenset({State.CREDIT, State.SUSPENDED, State.RELEASED, State.OWED})
"""States in which an ended term changes nothing. In other states it is owed: we were away during all of it."""


def term_of(account: Account) -> Term | None:
    return Term(account.starts, account.ends) if account.starts and account.ends else None


def _others_carry(pin: Pin, term: Term | None) -> bool:
    """Whether the proven payments alone buy the pin's whole term, without the lost ones."""
    return term is not None and pin.ends is not None and term.ends >= pin.ends


def _unspent(pin: Pin, news: Sequence[Payment], account: Account, rates: Rates, now: datetime) -> Pin:
    """The pin whose settled money bought nothing (any more: a reorg may have moved it to a dearer block). `news`: the
    payments that begin to count. One that brings the least fee has content sought again that was given up."""
    rate = rates.at(now)
    if rate is not None:
        pin = replace(pin, starts=None, ends=None) if pin.ends else pin
        return _moved_once(pin, Event.CAME_SHORT, f"{account.missing(rate)} missing")
    if pin.state is State.OWED and pin.due_at is None and any(_brings_least(payment, rates) for payment in news):
        return pin.moved(Event.OWES, now, reason=NEVER_QUOTED, attempts=0)
    if pin.state in {State.SHORT, State.OWED}:
        return pin
    return pin.moved(Event.OWES, now, reason=NEVER_QUOTED)


def _brings_least(payment: Payment, rates: Rates) -> bool:
    return payment.proof is not None and payment.amount >= least_at(payment.proof.time, rates.log)


def _moved_once(pin: Pin, event: Event, reason: str) -> Pin:
    """The pin after the event, waiting for the chain (no `due_at`); the same object if nothing changes."""
    after = pin.moved(event, None, reason=reason)
    return pin if after == pin else after


def _on_credit(pin: Pin, tip: Tip) -> Pin:
    """The pin on credit: its blocks stay, at our risk, for `Depth.credit_blocks` blocks."""
    if pin.state is State.CREDIT:
        return pin
    return pin.moved(Event.UNPROVEN, pin.ends, unproven_at=tip.height, reason="a reorg took a payment back")


def _bought(pin: Pin, term: Term, *, held: bool, now: datetime) -> Pin:
    same_term = (pin.starts, pin.ends) == (term.starts, term.ends)
    settled_already = {State.CONFIRMED, State.PINNED, State.EXPIRING, State.RELEASED} | (
        {State.OWED} if not held else set()
    )
    if same_term and pin.state in settled_already:
        return pin
    reminded = pin.reminded if same_term else None
    changes = {"starts": term.starts, "ends": term.ends, "reminded": reminded, "unproven_at": None}
    if held or pin.state in LIVE:
        return pin.moved(Event.BOUGHT, now, reason="", attempts=0, **changes)
    reason = pin.reason if pin.state is State.OWED else "paid, but the content is not here"
    return pin.moved(Event.OWES, now, reason=reason, **changes)


def _count_confirmations(
    judged: Sequence[Payment], offer: Offer, tip: Tip, needed: int
) -> tuple[list[Payment], list[Message]]:
    """Gives PAYMENT-SEEN once for each change, and PAYMENT-GONE once, in the payer's own spelling of the CID."""
    noted: list[Payment] = []
    say: list[Message] = []
    for payment in judged:
        count = max(0, tip.confirmations(payment.proof)) if payment.proof else 0
        quote = quote_in_question(payment.amount, offer.quotes)
        if payment.gone and payment.announced >= 0:
            noted.append(replace(payment, announced=-1))
            say.append(PaymentGone(payment.cid_text, payment.name, payment.txid, payment.amount))
            continue
        told = payment.settled or payment.gone or count == payment.announced
        if told or quote is None or payment.amount < offer.least_told:
            noted.append(payment)
            continue
        noted.append(replace(payment, announced=count))
        say.append(
            PaymentSeen(
                cid=payment.cid_text,
                name=payment.name,
                txid=payment.txid,
                amount=payment.amount,
                confirmations=count,
                confirmations_needed=needed,
                quote_id=quote.id,
            )
        )
    return noted, say


def quote_in_question(amount: Swartz, quotes: Sequence[Quote]) -> Quote | None:
    """The quote that a message about so much money names: the longest that it covers, else the cheapest; of equal ones
    the newest. None without quotes."""
    covered = [quote for quote in quotes if quote.amount <= amount]
    if covered:
        return max(covered, key=lambda quote: (quote.months, quote.issued))
    return min(quotes, key=lambda quote: (quote.amount, -quote.issued.timestamp()), default=None)


def _short(
    pin: Pin, news: Sequence[Payment], account: Account, rates: Rates, offer: Offer, now: datetime
) -> list[Message]:
    """PAYMENT-SHORT for the last of the payments that begin to count, if no term runs after it."""
    last, rate = next(iter(reversed(settled(news))), None), rates.at(now)
    if last is None or last.proof is None or rate is None or last.amount < offer.least_told or not offer.quotes:
        return []
    if account.ends is not None and account.ends >= last.proof.time:
        return []
    asked = max(offer.quotes, key=lambda quote: (quote.months, quote.issued))
    return [
        PaymentShort(
            cid=last.cid_text,
            name=pin.name,
            txid=last.txid,
            received=account.credit,
            missing=account.missing(rate, asked.months),
            months=asked.months,
            missing_for_one_month=account.missing(rate),
            payment_address=asked.payment_address,
            quote_id=asked.id,
        )
    ]


def totals(
    payments: Sequence[Payment], pins: Sequence[Pin], rates: Mapping[Root, Rates], now: datetime
) -> dict[str, Swartz]:
    """Every settled swartz as earned, credit or owed; their sum is what was received (each (txid, vout) once).

    Money without a pin (it names no CID, or is dust for a CID without a quote) is never settled: it is owed from its
    first block on.
    """
    earned = credit = owed = ZERO
    of_pin: dict[PinKey, list[Payment]] = {pin.key: [] for pin in pins}
    for payment in payments:
        if payment.proof is not None and (key := PinKey(payment.root, payment.name)) in of_pin:
            of_pin[key].append(payment)
        elif payment.proof is not None:
            owed = owed + payment.amount
    for pin in pins:
        account = account_of(settled(of_pin[pin.key]), rates[pin.root], pin.ends or now)
        if pin.state is State.OWED:
            owed = owed + account.due.amount + account.credit
        else:
            earned, credit = earned + account.due.amount, credit + account.credit
    return {"earned": earned, "credit": credit, "owed": owed}
