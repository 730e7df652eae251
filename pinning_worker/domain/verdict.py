"""The verdict on a pin's payments: the whole decision, pure, so that the story only stores and announces it.

The story calls `judge` whenever something may have changed: a payment seen, a block, a reorg, content that came back.
`judge` takes all facts as arguments and changes nothing; a second call with the same facts gives nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import (
    Payment,
    Purchase,
    Short,
    Term,
    Tip,
    balance,
    buy,
    in_chain_order,
    is_deep,
    quotes_that_judge,
    term_of,
)
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.pin import LIVE, Event, Pin, PinKey, State, allows
from pinning_worker.domain.topic.messages import Message, PaymentSeen, PaymentShort


@dataclass(frozen=True, slots=True)
class Depth:
    """Depths in blocks. A payment counts at `confirmations` (1: the block that holds it). Credit for a payment that a
    reorg took back ends when the reorg is `credit` blocks deep."""

    confirmations: int
    credit: int


@dataclass(frozen=True, slots=True)
class Verdict:
    pin: Pin  # the pin to store; the same object as the argument if nothing changed
    payments: tuple[Payment, ...]  # the changed ones
    say: tuple[Message, ...]

    def undone(self, before: Sequence[Payment]) -> list[Payment]:
        """The payments of `before` whose purchase no longer counts."""
        without = {payment.txid for payment in self.payments if payment.bought is None}
        return [payment for payment in before if payment.bought is not None and payment.txid in without]


def judge(
    pin: Pin, payments: Sequence[Payment], quotes: Sequence[Quote], *, held: bool, tip: Tip, depth: Depth, now: datetime
) -> Verdict:
    """`payments` and `quotes`: all of this pin and its root. `held`: the whole closure is on disk."""
    on_credit = pin.state in LIVE and not _is_buried(pin, tip, depth)
    counting = payments if on_credit else _without_lost(payments)
    judged, short = _settle(counting, quotes, tip, depth.confirmations)
    term = term_of(judged)
    after = _next(pin, judged, short, term, held=held, tip=tip, depth=depth, now=now)
    noted, seen = _count_confirmations(pin, judged, quotes, tip, depth.confirmations)
    before = {payment.txid: payment for payment in payments}
    changed = tuple(payment for payment in noted if payment != before[payment.txid])
    news = short is not None and (short.fresh or pin.state is State.OWED)
    return Verdict(after, changed, (*seen, *([_say_short(pin, short)] if short is not None and news else ())))


def _is_buried(pin: Pin, tip: Tip, depth: Depth) -> bool:
    """Whether the reorg that took a payment back is so deep that the credit ends."""
    return pin.state is State.CREDIT and pin.unproven_at is not None and tip.height - pin.unproven_at >= depth.credit


def _is_lost(payment: Payment) -> bool:
    """Whether it counted, and then a reorg took its block away."""
    return payment.settled and payment.proof is None


def _without_lost(payments: Sequence[Payment]) -> Sequence[Payment]:
    """Treats payments lost in a reorg as unsettled, and undoes purchases that relied on their credit. A payment that is
    proven again is judged again."""
    if not any(map(_is_lost, payments)):
        return payments
    kept = [_uncounted(payment) if _is_lost(payment) else payment for payment in in_chain_order(payments)]
    for place in reversed(range(len(kept))):
        if kept[place].bought is not None and balance(kept) < ZERO:
            kept[place] = _uncounted(kept[place])
    return kept


def _uncounted(payment: Payment) -> Payment:
    return replace(payment, settled=False, bought=None)


@dataclass(frozen=True, slots=True)
class _Shortfall:
    """`fresh`: this payment begins to count now; else it already counted before the first quote."""

    txid: Txid
    short: Short
    fresh: bool


def _settle(
    payments: Sequence[Payment], quotes: Sequence[Quote], tip: Tip, confirmations: int
) -> tuple[list[Payment], _Shortfall | None]:
    """Counts each deep enough payment once, in chain order; each buys the longest term that the credit covers."""
    judged = in_chain_order(payments)
    shortfall = None
    for place, payment in enumerate(judged):
        fresh = not payment.settled and is_deep(payment, tip, confirmations)
        if fresh:
            judged[place] = replace(payment, settled=True)
        # A payment that came before any quote is judged by the first quotes.
        unjudged = judged[place].settled and payment.proof is not None and not any(p.bought for p in judged)
        if fresh or unjudged:
            # A reorg may have moved payments that already bought behind this one: no credit is spent twice.
            credit = min(balance(judged[: place + 1]), balance(judged))
            outcome = buy(max(credit, ZERO), quotes_that_judge(quotes, payment.counted_at()))
            shortfall = None
            match outcome:
                case Purchase():
                    judged[place] = replace(judged[place], bought=outcome)
                case Short():
                    shortfall = _Shortfall(payment.txid, outcome, fresh)
                case None:  # no quote exists
                    pass
    return judged, shortfall


def _next(
    pin: Pin,
    judged: Sequence[Payment],
    shortfall: _Shortfall | None,
    term: Term | None,
    *,
    held: bool,
    tip: Tip,
    depth: Depth,
    now: datetime,
) -> Pin:
    # A reorg took back a purchase that the pin's term needs: keep the content on credit until it is proven again.
    if any(map(_is_lost, judged)) and not _others_carry(pin, judged, term):
        return _on_credit(pin, tip)
    runs = term is not None and term.ends > now
    # Proven payments bought a term: confirm it, or owe it while the content is missing. A term that is over counts
    # only for a pin that has not come to an end yet.
    if term is not None and (runs or pin.state not in _AT_AN_END):
        return _bought(pin, term, held=held and runs, now=now)
    # On credit for as many blocks as `depth.credit` allows: the credit ends.
    if pin.state is State.CREDIT:
        return pin.moved(Event.BURIED, None, reason=f"not proven again within {depth.credit} blocks")
    # The pin came to an end, and no new term runs: nothing changes.
    if term is not None or pin.state in {State.SUSPENDED, State.RELEASED}:
        return pin
    # Money is settled and bought nothing: it is short of the cheapest quote, or no quote exists.
    if any(payment.settled for payment in judged):
        return _unspent(pin, shortfall, now)
    # No payment is left in any block or mempool.
    if all(payment.gone for payment in judged):
        return pin if pin.state is State.VANISHED else _moved_once(pin, Event.VANISHED, "the payment left the mempool")
    # A reorg took back a settled payment that had bought nothing: it waits for confirmations again.
    if allows(pin.state, Event.UNPROVEN):
        return pin.moved(Event.UNPROVEN, None, reason="a reorg took its payment back")
    # A server shows a payment, and it has too few confirmations.
    return pin if pin.state is State.SEEN else _moved_once(pin, Event.SEEN, "")


_AT_AN_END = frozenset({State.CREDIT, State.SUSPENDED, State.RELEASED, State.OWED})
"""States in which an ended term changes nothing. In other states it is owed: we were away during all of it."""


def _others_carry(pin: Pin, judged: Sequence[Payment], term: Term | None) -> bool:
    """Whether the proven payments alone bought the pin's whole term, without the lost ones."""
    return term is not None and pin.ends is not None and term.ends >= pin.ends and balance(judged) >= ZERO


def _unspent(pin: Pin, shortfall: _Shortfall | None, now: datetime) -> Pin:
    """The pin whose settled money bought nothing: it is too little, or no quote exists."""
    if shortfall is not None:
        return _moved_once(pin, Event.CAME_SHORT, f"{shortfall.short.missing} missing")
    if pin.state in {State.SHORT, State.OWED}:
        return pin
    return pin.moved(Event.OWES, now, reason="paid, but never quoted")


def _moved_once(pin: Pin, event: Event, reason: str) -> Pin:
    """The pin after the event, waiting for the chain (no `due_at`); the same object if nothing changes."""
    after = pin.moved(event, None, reason=reason)
    return pin if after == pin else after


def _on_credit(pin: Pin, tip: Tip) -> Pin:
    """The pin on credit: its blocks stay, at our risk, for `Depth.credit` blocks."""
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
    pin: Pin, judged: Sequence[Payment], quotes: Sequence[Quote], tip: Tip, needed: int
) -> tuple[list[Payment], list[Message]]:
    """Gives PAYMENT-SEEN once for each change, for a payment that a quote judges and that does not count yet."""
    noted: list[Payment] = []
    say: list[Message] = []
    for payment in judged:
        count = max(0, tip.confirmations(payment.proof)) if payment.proof else 0
        told = payment.settled or payment.gone or count == payment.announced
        quote_id = None if told else _quote_in_question(payment, judged, quotes)
        if quote_id is None:
            noted.append(payment)
            continue
        noted.append(replace(payment, announced=count))
        say.append(
            PaymentSeen(
                cid=pin.cid_text,
                name=pin.name,
                txid=payment.txid,
                amount=payment.amount,
                confirmations=count,
                confirmations_needed=needed,
                quote_id=quote_id,
            )
        )
    return noted, say


def _quote_in_question(payment: Payment, judged: Sequence[Payment], quotes: Sequence[Quote]) -> str | None:
    outcome = buy(_plus(balance(judged), payment), quotes_that_judge(quotes, payment.counted_at()))
    match outcome:
        case Purchase(quote_id=quote_id):
            return quote_id
        case Short(quote=quote):
            return quote.id
        case None:
            return None


def _plus(credit: Swartz, payment: Payment) -> Swartz:
    return credit if payment.settled else credit + payment.amount


def _say_short(pin: Pin, shortfall: _Shortfall) -> Message:
    return PaymentShort(
        cid=pin.cid_text,
        name=pin.name,
        txid=shortfall.txid,
        received=shortfall.short.received,
        missing=shortfall.short.missing,
        payment_address=shortfall.short.quote.payment_address,
        quote_id=shortfall.short.quote.id,
    )


def accounts(payments: Sequence[Payment], pins: Sequence[Pin]) -> dict[str, Swartz]:
    """Every settled swartz as earned, credit or owed; their sum is what was received (each (txid, vout) once).

    Money without a pin (it names no CID, or is dust for a CID without a quote) is never settled: it is owed from its
    first block on.
    """
    earned = credit = owed = 0
    delivered = {pin.key: pin.state for pin in pins}
    for payment in payments:
        state = delivered.get(PinKey(payment.root, payment.name))
        if payment.proof is None or not (payment.settled or state is None):
            continue
        spent = payment.bought.amount.amount if payment.bought else 0
        if state is None or state is State.OWED:
            owed += payment.amount.amount
        else:
            earned += spent
            credit += payment.amount.amount - spent
    return {"earned": Swartz(earned), "credit": Swartz(credit), "owed": Swartz(owed)}
