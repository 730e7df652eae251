"""Entries: what the operator decides about money, in a log that only grows.

ASSIGNED   a payment that names no CID belongs to this CID and name. It is then judged like one that named them.
REFUNDED   so much of a payment went back to its payer, in the transaction `refund_txid`.
CLOSED     so much of a payment is owed no more: the operator gave the content up, and says why.

Money that was refunded or closed is out of the account: what is left of the payment is judged, as if it had paid no
more (`Payment.amount`). An entry is never changed; a mistake is answered by another entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.swartz import ZERO, Swartz


class EntryKind(Enum):
    ASSIGNED = "assigned"
    REFUNDED = "refunded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Entry:
    """`root`, `cid_text` and `name`: the payment's, for ASSIGNED the new ones."""

    number: int  # the place in the log, from 1
    kind: EntryKind
    at: datetime
    txid: Txid  # of the payment
    root: Root
    cid_text: str
    name: NameBytes
    amount: Swartz = ZERO  # taken out of the payment
    refund_txid: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        takes_out = self.amount > ZERO
        if self.number < 1 or takes_out == (self.kind is EntryKind.ASSIGNED) or self.at.tzinfo is None:
            raise ValueError(f"not an entry: {self}")


EntryLog = Sequence[Entry]
"""In the order of their numbers."""


def follows(entries: Iterable[Entry], log_length: int) -> bool:
    """Whether these may be appended to so many entries."""
    return all(entry.number == number for number, entry in enumerate(entries, start=log_length + 1))


def is_assigned(payment: Payment, log: Iterable[Entry]) -> bool:
    """Whether the operator gave the payment the CID and the name that it has."""
    return any(
        (entry.kind, entry.txid, entry.root, entry.name)
        == (EntryKind.ASSIGNED, payment.txid, payment.root, payment.name)
        for entry in log
    )


def withdrawn(txid: Txid, log: Iterable[Entry]) -> Swartz:
    """The amount that refunds and closes have taken out of that payment."""
    return Swartz.total(entry.amount for entry in log if entry.txid == txid)


def as_assigned(payment: Payment, log: Iterable[Entry]) -> Payment:
    """A payment that names no CID, with the CID and name of its last assignment, if it has one."""
    given = [entry for entry in log if entry.txid == payment.txid and entry.kind is EntryKind.ASSIGNED]
    if payment.root or not given:
        return payment
    return replace(payment, root=given[-1].root, cid_text=given[-1].cid_text, name=given[-1].name)
