"""What a signed receipt proves, what it only claims, and why it is refused. Pure: the chain is asked by a function.

PROVEN    follows from the receipt's own bytes, and from the headers that the verifier brings
CLAIMED   stands on the signature: the worker can be held to it, and nothing else says so
REFUSED   contradicts the rest of the receipt or the headers; then nothing in it is to be believed

docs/receipts.md has the same list for people, and examples/verify does the same in a browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pinning_worker.domain.chain.headers import Header, parse_header
from pinning_worker.domain.chain.nameop import transaction_name_op
from pinning_worker.domain.chain.transaction import (
    MERKLE_NODE_SIZE,
    BadMerkleBranch,
    BadTransaction,
    Transaction,
    fold_merkle_branch,
    parse_transaction,
)
from pinning_worker.domain.content.cid import cid_text
from pinning_worker.domain.identities import NameBytes
from pinning_worker.domain.money.payment import named_cid
from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.money.signed_content import BadContent
from pinning_worker.domain.money.signed_receipt import Purchase, SignedReceipt
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.name_row import name_text

HasBlock = Callable[[int, str], bool | None]
"""Whether the verifier's headers have that block (height, hash); None: they do not reach that height."""

CLAIMED = (
    "that these outputs are the worker's own",
    "that the payment bought these months, by that tariff and quote",
    "that the content has so many bytes and blocks, and that the worker keeps it for the term",
)


@dataclass(frozen=True, slots=True)
class Findings:
    """`refused` is empty for a receipt that holds."""

    proven: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def check_receipt(receipt: SignedReceipt, has_block: HasBlock) -> Findings:
    found, purchase = Findings(), receipt.purchase
    _check_signature(receipt, found)
    header = parse_header(purchase.header)
    transaction = _transaction(purchase)
    found.refused.extend(_contradictions(purchase, header, transaction))
    if transaction is not None:
        found.proven.append(f"the transaction {purchase.txid} is in the block {purchase.block_hash}")
        found.proven.append(f"it pays {purchase.amount.amount} swartz by its outputs {list(purchase.vouts)}")
        _check_name(purchase, transaction, found)
    _check_block(purchase, has_block, found)
    found.claimed.extend(CLAIMED)
    return found if not found.refused else Findings(refused=found.refused)


def _check_signature(receipt: SignedReceipt, found: Findings) -> None:
    try:
        is_signed = receipt.is_signed()
    except BadContent as error:
        found.refused.append(str(error))
        return
    if is_signed:
        found.proven.append(f"the peer {receipt.purchase.worker} signed this receipt, as it is")
    else:
        found.refused.append("the signature is not that of the worker for this content")


def _transaction(purchase: Purchase) -> Transaction | None:
    try:
        return parse_transaction(purchase.transaction)
    except BadTransaction:
        return None


def _contradictions(purchase: Purchase, header: Header, transaction: Transaction | None) -> Iterator[str]:
    if header.block_hash != purchase.block_hash:
        yield "the header is not that of the block"
    if transaction is None or transaction.serialise_base() != purchase.transaction:
        yield "the transaction cannot be read"
    elif transaction.txid != purchase.txid:
        yield "the transaction is not the one with that txid"
    elif transaction.base_size == MERKLE_NODE_SIZE:
        yield "64 bytes may be an inner node of a merkle tree, and prove no transaction"
    elif _paid(purchase, transaction) != purchase.amount:
        yield "the outputs do not bring that amount"
    if not _is_in_block(purchase, header):
        yield "the merkle branch does not lead to the block's header"
    yield from _impossible_term(purchase, header)


def _paid(purchase: Purchase, transaction: Transaction) -> Swartz | None:
    """The sum of the outputs; None unless they are listed once each, in their order."""
    vouts = purchase.vouts
    if not vouts or list(vouts) != sorted(set(vouts)) or vouts[-1] >= len(transaction.outputs):
        return None
    return Swartz.total(transaction.outputs[vout].amount for vout in vouts)


def _is_in_block(purchase: Purchase, header: Header) -> bool:
    try:
        return fold_merkle_branch(purchase.txid, purchase.branch, purchase.position) == header.merkle_root
    except BadMerkleBranch:
        return False


def _impossible_term(purchase: Purchase, header: Header) -> Iterator[str]:
    paid_at = datetime.fromtimestamp(header.time, UTC)
    try:
        is_possible = purchase.months > 0 and add_months(purchase.starts, purchase.months) <= purchase.ends
    except (ValueError, OverflowError):
        is_possible = False
    if not is_possible or not purchase.starts <= paid_at < purchase.ends:
        yield "the term is not one that this payment can have bought"


def _check_name(purchase: Purchase, transaction: Transaction, found: Findings) -> None:
    """A transaction without a NameOp, or with one that names no CID, says nothing about its purpose: an operator
    assigned it."""
    name_op = transaction_name_op(transaction)
    if name_op is None:
        found.claimed.append("that the payment was meant for this CID and name: its transaction names neither")
        return
    named = named_cid(name_op[1].value)
    if named is None:
        found.claimed.append("that the payment was meant for this CID and name: its transaction names no CID")
        return
    if name_text(name_op[1].name or NameBytes(b"")) != purchase.name_id:
        found.refused.append("the transaction has another name")
    if cid_text(named[0].key) != purchase.cid:
        found.refused.append("the transaction names another CID")
    found.proven.append(f"it names the CID {purchase.cid} under the name {purchase.name_id!r}")


def _check_block(purchase: Purchase, has_block: HasBlock, found: Findings) -> None:
    is_ours = has_block(purchase.height, purchase.block_hash)
    if is_ours is None:
        found.claimed.append(f"that the block is in the chain, at height {purchase.height}: no header here reaches it")
    elif is_ours:
        found.proven.append(f"that block is in our chain, at height {purchase.height}")
    else:
        found.refused.append(f"our chain has another block at height {purchase.height}")
