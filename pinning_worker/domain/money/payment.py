"""A payment: one transaction whose NameOp names a CID, and all its outputs to our payment scripts.

Rules: only outputs whose script *equals* a payment script count (never the change, never a name output that happens to
belong to our address); all of them are summed; each (txid, vout) counts once, ever. `account.py` folds the proven
payments of a (CID, name) in the order of the chain, so a reorg that moves a payment to another block moves the term
with it and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from pinning_worker.domain.content.cid import BadCid, Cid, Root
from pinning_worker.domain.content.cid_link import parse_cid_link
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.swartz import ZERO, Swartz


@dataclass(frozen=True, slots=True)
class Proof:
    """The transaction's block: its merkle branch folded to the root of our own verified header."""

    height: int
    block_hash: str  # as displayed (reversed hex)
    time: datetime  # the header's own time, UTC
    position: int = 0  # of the transaction in its block; 0 also in rows from before it was recorded


@dataclass(frozen=True, slots=True)
class PaymentProof:
    """All that proves a payment to somebody else: kept with the books, so that they can be checked without a server."""

    txid: Txid
    transaction: bytes  # the bytes whose hash is the txid: without a witness
    header: bytes  # of its block, 80 bytes
    position: int  # of the transaction in its block
    branch: tuple[str, ...]  # the merkle branch: hex in display order, leaf first


@dataclass(frozen=True, slots=True)
class Tip:
    """The best verified header. `median_time` is that of its last 11 headers (BIP 113)."""

    height: int
    hash: str
    time: datetime
    median_time: datetime

    def confirmations(self, proof: Proof) -> int:
        """The confirmations of a proof: 1 for the block that holds the transaction."""
        return self.height - proof.height + 1


@dataclass(frozen=True, slots=True)
class PaidOutput:
    """One output whose script equals a payment script."""

    vout: int
    amount: Swartz


@dataclass(frozen=True, slots=True)
class Sighting:
    """The chain watcher's report of one transaction: raw bytes parsed here, txid recomputed, proof folded here.

    Without a proof it is a server's claim (mempool, or a block): announced, never acted on.
    """

    txid: Txid
    name: NameBytes | None
    value: bytes | None
    outputs: tuple[PaidOutput, ...]
    proof: Proof | None
    shown_by: frozenset[str] = field(default=frozenset(), compare=False)  # the names of the servers
    payment_proof: PaymentProof | None = field(default=None, compare=False)  # with the first report of a proof

    @property
    def amount(self) -> Swartz:
        return Swartz.total(output.amount for output in self.outputs)


@dataclass(frozen=True, slots=True)
class Payment:
    """One transaction in the ledger. `root` is empty if its NameOp names no CID: money received and owed."""

    txid: Txid
    root: Root
    cid_text: str
    name: NameBytes
    outputs: tuple[PaidOutput, ...]
    first_seen: datetime
    proof: Proof | None
    settled: bool = False  # deep enough once, and counted; a later reorg takes `proof` away, not this
    announced: int = -1  # the confirmations last announced; -1: none yet
    gone: bool = False  # left the mempool without a block (double spent, evicted)
    withdrawn: Swartz = ZERO  # by the operator's entries (`entry.py`), which the books apply when they are read

    @property
    def received(self) -> Swartz:
        return Swartz.total(output.amount for output in self.outputs)

    @property
    def amount(self) -> Swartz:
        """The part that is judged."""
        return self.received - self.withdrawn


def named_cid(value: bytes | None) -> tuple[Cid, str] | None:
    """The CID that a NameOp's value names, and the payer's spelling of it: any link that a metadata.json may have."""
    try:
        link = parse_cid_link((value or b"").decode("utf-8"))
        return link.cid, link.text
    except (UnicodeDecodeError, BadCid):
        return None


def record_sighting(known: Payment | None, sighting: Sighting, now: datetime) -> Payment:
    """The ledger's row after a sighting: an old row keeps its decisions and takes the new proof."""
    if known is not None:
        return replace(known, proof=sighting.proof, gone=False)
    named = named_cid(sighting.value)
    root, text = (named[0].key, named[1]) if named else (Root(b""), "")
    return Payment(sighting.txid, root, text, sighting.name or NameBytes(b""), sighting.outputs, now, sighting.proof)


def in_chain_order(payments: Iterable[Payment]) -> list[Payment]:
    """Proven ones first, by height, by their place in the block, then by txid, so that every node folds them alike."""
    return sorted(payments, key=_place_in_chain)


def _place_in_chain(payment: Payment) -> tuple[bool, int, int, Txid]:
    proof = payment.proof
    return (proof is None, proof.height if proof else 0, proof.position if proof else 0, payment.txid)


def is_deep(payment: Payment, tip: Tip, confirmations: int) -> bool:
    return payment.proof is not None and tip.confirmations(payment.proof) >= confirmations


@dataclass(frozen=True, slots=True)
class Term:
    """A time span: from a paying block's header time, in calendar months (UTC)."""

    starts: datetime
    ends: datetime
