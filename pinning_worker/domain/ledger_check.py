"""The check of the books: each payment is proven from the bytes that are kept with it, and from stored headers.

FAULT     the books say something that these bytes contradict
UNPROVEN  the bytes or the headers are not there (yet): nothing is contradicted, and nothing is proven

`steps/ledger.py` adds up the payments; together the two show that the money received is the money in the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pinning_worker.domain.chain.headers import BadHeader, parse_header
from pinning_worker.domain.chain.nameop import transaction_name_op
from pinning_worker.domain.chain.transaction import (
    MERKLE_NODE_SIZE,
    BadMerkleBranch,
    BadTransaction,
    Transaction,
    fold_merkle_branch,
    parse_transaction,
)
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.entry import EntryLog, as_assigned
from pinning_worker.domain.money.payment import Payment, PaymentProof, Proof, Sighting, record_sighting
from pinning_worker.domain.money.swartz import ZERO, Swartz

HasBlock = Callable[[int, str], bool | None]
"""Whether the stored headers have that block (height, hash); None: they do not reach that height."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result for one payment. `by_script`: the booked money, by the script that it was paid to."""

    fault: str = ""
    unproven: str = ""
    by_script: Mapping[Script, Swartz] = field(default_factory=dict)


class _Fault(Exception):
    """The bytes contradict the books."""


def check_payment(
    payment: Payment, kept: PaymentProof | None, entries: EntryLog, scripts: Collection[Script], has_block: HasBlock
) -> Checked:
    """`payment`: one that counts. `scripts`: the worker's own, each of whose outputs must be booked."""
    proof = payment.proof
    if proof is None:
        return Checked(fault="it counts and stands in no block")
    if kept is None:
        return Checked(unproven="its proof is not kept yet: a running worker reads it again")
    try:
        transaction = _transaction(payment, kept)
        _require_outputs(payment, transaction, scripts)
        _require_purpose(payment, transaction, entries)
        _require_block(proof, kept)
    except _Fault as fault:
        return Checked(fault=str(fault))
    by_script = _by_script(payment, transaction)
    if not by_script.keys() <= set(scripts):
        strange = "it pays an address that neither the settings nor the quotes of two years name"
        return Checked(unproven=f"{strange}: PINNING_PAYMENT_ADDRESS may name old ones", by_script=by_script)
    match has_block(proof.height, proof.block_hash):
        case True:
            return Checked(by_script=by_script)
        case False:
            return Checked(fault=f"the stored headers have another block at height {proof.height}")
        case None:
            return Checked(unproven=f"the stored headers do not reach block {proof.height}", by_script=by_script)


def _transaction(payment: Payment, kept: PaymentProof) -> Transaction:
    try:
        transaction = parse_transaction(kept.transaction)
    except BadTransaction as error:
        raise _Fault(f"the kept transaction cannot be read: {error}") from error
    if transaction.txid != payment.txid:
        raise _Fault("the kept transaction is another one")
    if transaction.base_size == MERKLE_NODE_SIZE:
        raise _Fault("64 bytes may be an inner node of a merkle tree, and prove no transaction")
    return transaction


def _require_outputs(payment: Payment, transaction: Transaction, scripts: Collection[Script]) -> None:
    booked = {output.vout: output.amount for output in payment.outputs}
    paid = {vout: output.amount for vout, output in enumerate(transaction.outputs)}
    for vout, amount in booked.items():
        if paid.get(vout) != amount:
            raise _Fault(f"output {vout} is booked with {amount.amount} swartz, and the transaction says otherwise")
    for vout, output in enumerate(transaction.outputs):
        if output.script in scripts and vout not in booked:
            raise _Fault(f"output {vout} pays {output.amount.amount} swartz to us and is not booked")


def _require_purpose(payment: Payment, transaction: Transaction, entries: EntryLog) -> None:
    """The CID and the name are those of the transaction, or of the operator's assignment."""
    name_op = transaction_name_op(transaction)
    name, value = (name_op[1].name, name_op[1].value) if name_op is not None else (None, None)
    sighting = Sighting(payment.txid, name, value, payment.outputs, payment.proof)
    meant = as_assigned(record_sighting(None, sighting, payment.first_seen), entries)
    if (meant.root, meant.name) != (payment.root, payment.name):
        raise _Fault("it is booked for another CID or name than its transaction names, and no entry assigns it")


def _require_block(proof: Proof, kept: PaymentProof) -> None:
    try:
        header = parse_header(kept.header)
        root = fold_merkle_branch(kept.txid, kept.branch, kept.position)
    except (BadHeader, BadMerkleBranch) as error:
        raise _Fault(f"its proof cannot be read: {error}") from error
    if root != header.merkle_root:
        raise _Fault("its merkle branch does not lead to the kept header")
    if header.block_hash != proof.block_hash or datetime.fromtimestamp(header.time, UTC) != proof.time:
        raise _Fault("it is booked in another block, or at another time, than its proof says")


def _by_script(payment: Payment, transaction: Transaction) -> dict[Script, Swartz]:
    found: dict[Script, Swartz] = {}
    for output in payment.outputs:
        script = transaction.outputs[output.vout].script
        found[script] = found.get(script, ZERO) + output.amount
    return found


# ---------------------------------------------------------------- against servers


@dataclass(frozen=True, slots=True)
class Shown:
    """The transactions in blocks that one server shows for our scripts: their heights, and the money of those that the
    books lack."""

    server: str
    heights: Mapping[Txid, int]
    unbooked: Mapping[Txid, Swartz]


def differences(counting: Iterable[Payment], shown: Shown) -> Iterator[str]:
    """What the books and one server say differently about the blocks."""
    for payment in counting:
        height = shown.heights.get(payment.txid)
        if payment.proof is None or height == payment.proof.height:
            continue
        where = f"in block {height}" if height is not None else "in no block"
        yield f"{payment.txid} is booked in block {payment.proof.height}, and {shown.server} shows it {where}"
    for txid, amount in shown.unbooked.items():
        yield f"{shown.server} shows {txid}, which pays us {amount.amount} swartz, and the books do not have it"
