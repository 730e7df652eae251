"""Payments: a row for each transaction, and a child row for each output to us, inserted once and never changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, insert, or_, select, union, update

from pinning_worker.adapters.sql import entry_rows
from pinning_worker.adapters.sql.book_tables import payment_outputs, payments, pins
from pinning_worker.adapters.sql.rows import AnyRow, Conflict, are_set, insert_new, pieces, read_row
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.entry import is_assigned
from pinning_worker.domain.money.payment import PaidOutput, Payment, Proof
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.money.written_once import is_same_sighting, require_same_money
from pinning_worker.domain.pin import PinKey, State


def find(connection: Connection, query: Select[Any]) -> list[Payment]:
    """Returns the payments that the query selects, in its order. Raises DamagedRow."""
    rows = connection.execute(query).all()
    outputs: defaultdict[str, list[PaidOutput]] = defaultdict(list)
    for txids in pieces([row.txid for row in rows]):
        children = select(payment_outputs).where(payment_outputs.c.txid.in_(txids))
        for child in connection.execute(children.order_by(payment_outputs.c.txid, payment_outputs.c.vout)):
            outputs[child.txid].append(PaidOutput(child.vout, child.amount))
    out = entry_rows.withdrawn(connection, [Txid(row.txid) for row in rows])
    return [
        read_row("payment", row.txid, _from_row, row, tuple(outputs[row.txid]), out.get(row.txid, ZERO)) for row in rows
    ]


def one(connection: Connection, txid: Txid) -> Payment | None:
    found = find(connection, select(payments).where(payments.c.txid == txid))
    return found[0] if found else None


def of_key(connection: Connection, key: PinKey) -> Sequence[Payment]:
    query = select(payments).where(payments.c.root == key.root, payments.c.name == key.name)
    return find(connection, query.order_by(payments.c.first_seen, payments.c.txid))


def paid_without_pin(connection: Connection, root: Root) -> Sequence[PinKey]:
    has_pin = exists().where(pins.c.root == payments.c.root, pins.c.name == payments.c.name)
    paid = select(payments.c.name).where(payments.c.root == root, payments.c.proof_height.is_not(None), ~has_pin)
    return [PinKey(root, row.name) for row in connection.execute(paid.distinct().order_by(payments.c.name))]


def every(connection: Connection) -> Sequence[Payment]:
    return find(connection, select(payments).order_by(payments.c.first_seen, payments.c.txid))


def proven_from(connection: Connection, height: int) -> Sequence[Payment]:
    query = select(payments).where(payments.c.proof_height >= height)
    return find(connection, query.order_by(payments.c.proof_height, payments.c.txid))


def unsettled(connection: Connection) -> Sequence[PinKey]:
    is_of_pin = and_(pins.c.root == payments.c.root, pins.c.name == payments.c.name)
    of_pins = select(payments.c.root, payments.c.name).join(pins, is_of_pin)
    # An announcement with 0 confirmations is stored by the judgement itself: only a block of its own brings news.
    may_change = or_(payments.c.proof_height.is_not(None), payments.c.announced != 0)
    waiting = of_pins.where(payments.c.settled.is_(False), payments.c.gone.is_(False), may_change)
    lost = of_pins.where(payments.c.settled.is_(True), payments.c.proof_height.is_(None))
    on_credit = select(pins.c.root, pins.c.name).where(pins.c.state == State.CREDIT.value)
    keys = union(waiting, lost, on_credit).order_by("root", "name")
    return [PinKey(row.root, row.name) for row in connection.execute(keys)]


def store(connection: Connection, payment: Payment) -> None:
    """Inserts the payment with its outputs, or updates the fields that may change. Call it after the entries of the
    same change are stored. Raises Rewritten, Conflict."""
    known = one(connection, payment.txid)
    if not is_same_sighting(known, payment):
        raise Conflict
    gets_cid = known is not None and not known.root and bool(payment.root)
    log = entry_rows.every(connection) if gets_cid else ()
    require_same_money(known, payment, is_assigned=is_assigned(payment, log))
    if known is not None:
        connection.execute(update(payments).where(payments.c.txid == payment.txid).values(_to_row(payment)))
        return
    if connection.execute(insert_new(connection, payments).values(_to_row(payment))).rowcount != 1:
        raise Conflict
    if payment.outputs:
        outputs = [{"txid": payment.txid, "vout": out.vout, "amount": out.amount} for out in payment.outputs]
        connection.execute(insert(payment_outputs), outputs)


_AS_THEY_ARE = ("txid", "root", "cid_text", "name", "first_seen", "settled", "announced", "gone")


def _to_row(payment: Payment) -> dict[str, object]:
    proof = payment.proof
    return {
        **{field: getattr(payment, field) for field in _AS_THEY_ARE},
        "proof_height": proof.height if proof else None,
        "proof_hash": proof.block_hash if proof else None,
        "proof_time": proof.time if proof else None,
        "proof_position": proof.position if proof else None,
    }


def _from_row(row: AnyRow, outputs: tuple[PaidOutput, ...], withdrawn: Swartz) -> Payment:
    values = {field: getattr(row, field) for field in _AS_THEY_ARE}
    proven = are_set(row.proof_height, row.proof_hash, row.proof_time)
    return Payment(
        **values,
        outputs=outputs,
        withdrawn=withdrawn,
        proof=Proof(row.proof_height, row.proof_hash, row.proof_time, row.proof_position or 0) if proven else None,
    )
