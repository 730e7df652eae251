"""Payment proofs: one for each transaction, replaced when a reorg moved it to another block."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from pinning_worker.adapters.sql.book_tables import payment_proofs, payments
from pinning_worker.adapters.sql.rows import AnyRow, read_row
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import PaymentProof

_HASH = 32


def one(connection: Connection, txid: Txid) -> PaymentProof | None:
    row = connection.execute(select(payment_proofs).where(payment_proofs.c.txid == txid)).one_or_none()
    return read_row("payment proof", txid, _from_row, row) if row is not None else None


def missing(connection: Connection) -> Sequence[Txid]:
    """Payments in a block whose proof is not kept."""
    kept = select(payment_proofs.c.txid)
    query = select(payments.c.txid).where(payments.c.proof_height.is_not(None), payments.c.txid.not_in(kept))
    return [Txid(txid) for txid in connection.scalars(query.order_by(payments.c.txid))]


def store(connection: Connection, proof: PaymentProof) -> None:
    connection.execute(delete(payment_proofs).where(payment_proofs.c.txid == proof.txid))
    connection.execute(insert(payment_proofs).values(_to_row(proof)))


def _to_row(proof: PaymentProof) -> dict[str, object]:
    return {
        "txid": proof.txid,
        "transaction_bytes": proof.transaction,
        "header": proof.header,
        "position": proof.position,
        "branch": b"".join(map(bytes.fromhex, proof.branch)),
    }


def _from_row(row: AnyRow) -> PaymentProof:
    hashes = bytes(row.branch).hex()
    if len(hashes) % (2 * _HASH):
        raise ValueError("a branch is hashes of 32 bytes")
    branch = tuple(hashes[at : at + 2 * _HASH] for at in range(0, len(hashes), 2 * _HASH))
    return PaymentProof(row.txid, bytes(row.transaction_bytes), bytes(row.header), row.position, branch)
