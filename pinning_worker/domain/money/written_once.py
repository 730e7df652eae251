"""What is written once: a quote, and what a payment brought.

Rules: a quote is a promise, so it never changes; of a payment only what we learn later changes (its proof, whether it
settled, what it bought, what was announced, whether it is gone). Each (txid, vout) counts once, ever. A step that
would break this is a bug of ours, never an outcome: the books refuse the whole change, loudly.
"""

from __future__ import annotations

from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.pricing import Quote


class Rewritten(RuntimeError):
    """A stored quote, or what a payment brought, would be changed: a bug of ours."""


def require_same_quote(stored: Quote | None, offered: Quote) -> None:
    """A quote may be stored again as it is. Raises Rewritten."""
    if stored is not None and stored != offered:
        raise Rewritten(f"quote {offered.id} was given as {stored}; it cannot become {offered}")


def require_same_money(stored: Payment | None, offered: Payment) -> None:
    """A payment's transaction is what it is; and no output of it is listed twice. Raises Rewritten."""
    if len({output.vout for output in offered.outputs}) != len(offered.outputs):
        raise Rewritten(f"payment {offered.txid} lists an output twice: {offered.outputs}")
    if stored is not None and _given(stored) != _given(offered):
        raise Rewritten(f"payment {offered.txid} is booked as {_given(stored)}; it cannot become {_given(offered)}")


def is_same_sighting(stored: Payment | None, offered: Payment) -> bool:
    """False where the step that offers it did not know the stored row: somebody booked the transaction meanwhile.

    That is a conflict, not a bug: whoever reads the row keeps its `first_seen`.
    """
    return stored is None or stored.first_seen == offered.first_seen


def _given(payment: Payment) -> tuple[object, ...]:
    return payment.root, payment.name, payment.cid_text, set(payment.outputs)
