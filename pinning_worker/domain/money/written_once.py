"""Rows that are written once: a quote, and a payment's transaction.

Rules: a quote is a promise, so it never changes; of a payment only later findings change (its proof, whether it
settled, its last announcement, whether it is gone), and the operator may assign one that names no CID. Each
(txid, vout) counts once, ever. A step that would break this is a bug of ours, never an outcome: the books raise, and
refuse the whole change.
"""

from __future__ import annotations

from dataclasses import replace

from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.pricing import Quote


class Rewritten(RuntimeError):
    """A step would change a stored quote or a payment's transaction: a bug of ours."""


def require_same_quote(stored: Quote | None, offered: Quote) -> None:
    """Raises Rewritten unless the stored quote, if any, equals the offered one."""
    if stored is not None and stored != offered:
        raise Rewritten(f"quote {offered.id} was given as {stored}; it cannot become {offered}")


def require_same_money(stored: Payment | None, offered: Payment, *, is_assigned: bool = False) -> None:
    """Raises Rewritten if the payment's transaction differs from the stored one, or lists an output twice. One that
    the operator has assigned may get its CID and name, if it names none."""
    if len({output.vout for output in offered.outputs}) != len(offered.outputs):
        raise Rewritten(f"payment {offered.txid} lists an output twice: {offered.outputs}")
    if stored is not None and not stored.root and is_assigned:
        stored = replace(stored, root=offered.root, cid_text=offered.cid_text, name=offered.name)
    if stored is not None and _given(stored) != _given(offered):
        raise Rewritten(f"payment {offered.txid} is booked as {_given(stored)}; it cannot become {_given(offered)}")


def is_same_sighting(stored: Payment | None, offered: Payment) -> bool:
    """False if the offering step did not know the stored row: another step has booked the transaction meanwhile.

    That is a conflict, not a bug: a step that has read the row keeps its `first_seen`. So is a row that the operator
    has assigned to a CID meanwhile.
    """
    if stored is None:
        return True
    return stored.first_seen == offered.first_seen and not (stored.root and not offered.root)


def _given(payment: Payment) -> tuple[object, ...]:
    return payment.root, payment.name, payment.cid_text, set(payment.outputs)
