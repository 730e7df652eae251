"""Entering: the operator's decisions about money become entries of the books, which only grow.

A command calls this beside a running worker. The books compare and swap, so neither loses a change of the other. A pin
whose money is all given back is closed: here, if it holds no blocks; else the worker frees them at its next look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.entry import Entry, EntryKind, as_assigned
from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.statement import Holding, refundable
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.pin import Event, Pin, PinKey, State, step
from pinning_worker.ports.books import Books, Change
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.ledger import Ledger, key_of, read_ledger


class NotInBooks(Exception):
    """The books know no such payment or pin. The text is for the operator."""


class NotAllowed(Exception):
    """The entry would be wrong. The text says why, for the operator; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Entering:
    books: Books
    now: datetime

    async def assign(self, txid: Txid, root: Root, cid_text: str, name: NameBytes, reason: str) -> Entry:
        """Gives a payment that names no CID to (CID, name). It is judged at its own block, like one that named them.
        Raises NotInBooks, NotAllowed, Trouble."""
        for _ in attempts("assignment"):
            payment, log = await self.books.payment(txid), await self.books.entries()
            if payment is None:
                raise NotInBooks(f"the books have no payment {txid}")
            if payment.root:
                raise NotAllowed(
                    f"{txid} is for {payment.cid_text} already: a payment is assigned once, if it names none"
                )
            entry = Entry(len(log) + 1, EntryKind.ASSIGNED, self.now, txid, root, cid_text, name, reason=reason)
            pin = await self.books.pin(PinKey(root, name)) or Pin(root, name, cid_text, step(None, Event.SEEN), None)
            change = Change(pins=(pin,), payments=(as_assigned(payment, [entry]),), entries=(entry,))
            if await self.books.commit(change):
                return entry
        raise AssertionError("attempts end by raising")

    async def refund(self, txid: Txid, refund_txid: Txid, amount: Swartz | None, reason: str) -> Entry:
        """Records that so much of a payment went back (None: all that can). Raises NotInBooks, NotAllowed, Trouble."""
        for _ in attempts("refund"):
            ledger = await read_ledger(self.books, self.now)
            payment, holding = _counting(ledger, txid)
            _require_new(ledger, txid, refund_txid)
            most = refundable(holding, txid)
            if not most or (amount is not None and amount > most):
                raise NotAllowed(_too_much(payment, most))
            entry = _entry(ledger, EntryKind.REFUNDED, payment, amount or most, refund_txid, reason)
            if await self.books.commit(Change(pins=self._pin_after([entry], ledger, holding), entries=(entry,))):
                return entry
        raise AssertionError("attempts end by raising")

    async def close(self, key: PinKey, reason: str) -> tuple[Entry, ...]:
        """Gives up what is owed or short for a pin: an entry for each payment of which something is left. Raises
        NotInBooks, NotAllowed, Trouble."""
        for _ in attempts("close"):
            ledger = await read_ledger(self.books, self.now)
            pin = ledger.pins.get(key)
            if pin is None:
                raise NotInBooks("the books have no pin of that CID and name")
            if pin.state not in (State.OWED, State.SHORT):
                raise NotAllowed(f"the pin is {pin.state.value}: only one that is owed or short can be closed")
            entries: list[Entry] = []
            for payment in (each for each in ledger.holdings[key].payments if each.amount):
                entries.append(_entry(ledger, EntryKind.CLOSED, payment, payment.amount, "", reason, len(entries)))
            if not entries:
                raise NotAllowed("nothing is left to close: no money for it counts")
            change = Change(pins=self._pin_after(entries, ledger, ledger.holdings[key]), entries=tuple(entries))
            if await self.books.commit(change):
                return tuple(entries)
        raise AssertionError("attempts end by raising")

    def _pin_after(self, entries: Iterable[Entry], ledger: Ledger, holding: Holding) -> tuple[Pin, ...]:
        """The pin to store with the entries. Its version is the guard: a judgement meanwhile makes us look again."""
        pin = ledger.pins.get(PinKey(holding.root, holding.name))
        if pin is None:
            return ()
        left = Swartz.total(each.amount for each in holding.payments) - Swartz.total(each.amount for each in entries)
        if left > ZERO or pin.state not in (State.OWED, State.SHORT):
            return (pin,)
        if pin.keeps:
            return (replace(pin, due_at=self.now),)
        return (pin.moved(Event.CLOSED, None, reason="refunded or closed"),)


def _counting(ledger: Ledger, txid: Txid) -> tuple[Payment, Holding]:
    """Raises NotInBooks, NotAllowed."""
    payment = next((each for each in ledger.payments if each.txid == txid), None)
    if payment is None:
        raise NotInBooks(f"the books have no payment {txid}")
    holding = ledger.holding_of(payment)
    if holding is None:
        raise NotAllowed(f"{txid} does not count: it has too few confirmations, or stands in no block")
    return payment, holding


def _require_new(ledger: Ledger, txid: Txid, refund_txid: Txid) -> None:
    for entry in ledger.entries:
        if (entry.txid, entry.refund_txid) == (txid, refund_txid):
            raise NotAllowed(f"entry {entry.number} has this refund already")


def _too_much(payment: Payment, most: Swartz) -> str:
    if payment.withdrawn and not payment.amount:
        return f"all of {payment.txid} has been given back already"
    return (
        f"{most.amount} of the {payment.amount.amount} swartz can be refunded: the rest bought months that stand. What "
        "is given back beyond that is a gift, and no entry"
    )


def _entry(
    ledger: Ledger, kind: EntryKind, payment: Payment, amount: Swartz, refund_txid: str, reason: str, after: int = 0
) -> Entry:
    """`after`: the entries of the same change before it."""
    key, number = key_of(payment), len(ledger.entries) + 1 + after
    return Entry(
        number, kind, ledger.now, payment.txid, key.root, payment.cid_text, key.name, amount, refund_txid, reason
    )
