"""What a pin's payments mean now: the whole decision, pure, so that the story only has to store and speak it.

`judge` is asked whenever something may have changed: a payment seen, a block, a reorg, content that came back. It is
told everything and changes nothing; asked twice about the same world it says nothing new the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pinning_worker.domain.messages import Message, PaymentSeen, PaymentShort
from pinning_worker.domain.money import Swartz
from pinning_worker.domain.payment import (
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
from pinning_worker.domain.pin import LIVE, Event, Pin, PinKey, State, allows
from pinning_worker.domain.pricing import Quote


@dataclass(frozen=True, slots=True)
class Depth:
    """Blocks. A payment counts at `confirmations` (1: the block that holds it); credit for one that a reorg took
    back ends when the reorg is `credit` blocks deep."""

    confirmations: int
    credit: int


@dataclass(frozen=True, slots=True)
class Verdict:
    pin: Pin  # as it shall be stored; the very object that was asked about, where nothing changed
    payments: tuple[Payment, ...]  # those that changed
    say: tuple[Message, ...]


def judge(
    pin: Pin, payments: Sequence[Payment], quotes: Sequence[Quote], *, held: bool, tip: Tip, depth: Depth, now: datetime
) -> Verdict:
    """`payments` and `quotes`: all there are of this pin and its root. `held`: the whole closure is on disk."""
    judged, short = _settle(payments, quotes, tip, depth.confirmations)
    term = term_of(judged)
    after = _next(pin, judged, short, term, held=held, tip=tip, depth=depth, now=now)
    noted, seen = _count_confirmations(pin, judged, quotes, tip, depth.confirmations)
    before = {payment.txid: payment for payment in payments}
    changed = tuple(payment for payment in noted if payment != before[payment.txid])
    news = short is not None and (short.fresh or pin.state is State.OWED)
    return Verdict(after, changed, (*seen, *([_say_short(pin, short)] if short is not None and news else ())))


@dataclass(frozen=True, slots=True)
class _Shortfall:
    """`fresh`: this payment counts since now; else it was counted before anything was quoted."""

    txid: str
    short: Short
    fresh: bool


def _settle(
    payments: Sequence[Payment], quotes: Sequence[Quote], tip: Tip, confirmations: int
) -> tuple[list[Payment], _Shortfall | None]:
    """Every payment that is deep enough counts once, in chain order, and buys what the credit covers by then."""
    judged: list[Payment] = []
    shortfall = None
    for payment in in_chain_order(payments):
        fresh = not payment.settled and is_deep(payment, tip, confirmations)
        judged.append(replace(payment, settled=True) if fresh else payment)
        # One that came before anything was quoted is judged by the first quote there is.
        unjudged = judged[-1].settled and payment.proof is not None and not any(p.bought for p in judged)
        if fresh or unjudged:
            outcome = buy(balance(judged), quotes_that_judge(quotes, payment.counted_at()))
            shortfall = None
            if isinstance(outcome, Purchase):
                judged[-1] = replace(judged[-1], bought=outcome)
            elif isinstance(outcome, Short):
                shortfall = _Shortfall(payment.txid, outcome, fresh)
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
    counted = [payment for payment in judged if payment.settled]
    taken = [payment for payment in counted if payment.proof is None]
    starts, ends = (term.starts, term.ends) if term else (pin.starts, pin.ends)
    if taken and pin.state in LIVE | {State.SUSPENDED}:
        return _on_credit(pin, term, tip, depth, now)
    if taken and not term and allows(pin.state, Event.UNPROVEN):
        return pin.moved(Event.UNPROVEN, None, reason="a reorg took its payment back")
    if term is not None and ends is not None:
        return _bought(pin, starts, ends, held=held, now=now)
    if any(payment.proof is not None for payment in counted):
        if shortfall is not None or pin.state is State.SHORT:
            missing = shortfall.short.missing if shortfall else None
            return _moved_once(pin, Event.CAME_SHORT, f"{missing} missing" if missing else pin.reason)
        return pin if pin.state is State.OWED else pin.moved(Event.OWES, now, reason="paid, but never quoted")
    if all(payment.gone for payment in judged):
        return pin if pin.state is State.VANISHED else _moved_once(pin, Event.VANISHED, "the payment left the mempool")
    return _moved_once(pin, Event.SEEN, "")


def _moved_once(pin: Pin, event: Event, reason: str) -> Pin:
    """Waits for the chain (no `due_at`), and is the same object where nothing changes."""
    after = pin.moved(event, None, reason=reason)
    return pin if after == pin else after


def _on_credit(pin: Pin, term: Term | None, tip: Tip, depth: Depth, now: datetime) -> Pin:
    """A settled payment has no block now. Its blocks stay, on our risk, for `depth.credit` blocks."""
    if pin.state is State.SUSPENDED:
        return pin
    if pin.state is not State.CREDIT:
        return pin.moved(Event.UNPROVEN, pin.ends, unproven_at=tip.height, reason="a reorg took a payment back")
    if pin.unproven_at is None or tip.height - pin.unproven_at < depth.credit:
        return pin
    if term is not None and term.ends > now:  # other payments still carry it, for a shorter time
        return pin.moved(Event.BOUGHT, now, starts=term.starts, ends=term.ends, unproven_at=None, reminded=None)
    return pin.moved(Event.BURIED, None, reason=f"not proven again within {depth.credit} blocks")


def _bought(pin: Pin, starts: datetime | None, ends: datetime, *, held: bool, now: datetime) -> Pin:
    same_term = (pin.starts, pin.ends) == (starts, ends)
    settled_already = {State.CONFIRMED, State.PINNED, State.EXPIRING, State.RELEASED} | (
        {State.OWED} if not held else set()
    )
    if same_term and pin.state in settled_already:
        return pin
    term = {"starts": starts, "ends": ends, "reminded": None, "unproven_at": None}
    if held or pin.state in LIVE:
        return pin.moved(Event.BOUGHT, now, reason="", attempts=0, **term)
    return pin.moved(Event.OWES, now, reason=pin.reason or "paid, but the content is not here", **term)


def _count_confirmations(
    pin: Pin, judged: Sequence[Payment], quotes: Sequence[Quote], tip: Tip, needed: int
) -> tuple[list[Payment], list[Message]]:
    """PAYMENT-SEEN once for each change, for a payment that a quote judges and that does not count yet."""
    noted: list[Payment] = []
    say: list[Message] = []
    for payment in judged:
        count = max(0, tip.confirmations(payment.proof)) if payment.proof else 0
        quote_id = _quote_in_question(payment, judged, quotes)
        if payment.settled or payment.gone or count == payment.announced or quote_id is None:
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

    Money that names no CID belongs to no pin, so nothing ever settles it: it is owed from its first block on.
    """
    earned = credit = owed = 0
    delivered = {pin.key: pin.state for pin in pins}
    for payment in payments:
        if payment.proof is None or not (payment.settled or not payment.root):
            continue
        state = delivered.get(PinKey(payment.root, payment.name))
        spent = payment.bought.amount.amount if payment.bought else 0
        if state is None or state is State.OWED:
            owed += payment.amount.amount
        else:
            earned += spent
            credit += payment.amount.amount - spent
    return {"earned": Swartz(earned), "credit": Swartz(credit), "owed": Swartz(owed)}
