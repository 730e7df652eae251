"""A payment: one transaction whose NameOp names a CID, and all its outputs to our payment scripts.

Rules: only outputs whose script *equals* a payment script count (never the change, never a name output that happens to
belong to our address); all of them are summed; each (txid, vout) counts once, ever. The stored quote decides once what
a payment buys, and `bought` keeps it. The term follows from folding all proven payments in chain order, so a reorg that
moves a payment to another block moves the term with it and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pinning_worker.domain.content.cid import BadCid, Cid, Root
from pinning_worker.domain.content.cid_link import parse_cid_link
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.pricing import Quote, add_months
from pinning_worker.domain.money.swartz import ZERO, Swartz


@dataclass(frozen=True, slots=True)
class Proof:
    """The transaction's block: its merkle branch folded to the root of our own verified header."""

    height: int
    block_hash: str  # as displayed (reversed hex)
    time: datetime  # the header's own time, UTC


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

    @property
    def amount(self) -> Swartz:
        return Swartz.total(output.amount for output in self.outputs)


@dataclass(frozen=True, slots=True)
class Purchase:
    """The purchase of a payment, decided once by the stored quote."""

    quote_id: str
    amount: Swartz
    months: int


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
    bought: Purchase | None = None
    announced: int = -1  # the confirmations last announced; -1: none yet
    gone: bool = False  # left the mempool without a block (double spent, evicted)

    @property
    def amount(self) -> Swartz:
        return Swartz.total(output.amount for output in self.outputs)

    def counted_at(self) -> datetime:
        """The moment at which quotes must be live: the earlier of first sight and block time."""
        return min(self.first_seen, self.proof.time) if self.proof else self.first_seen


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
    """Proven ones first, by height, then by txid, so that every node folds them alike."""
    return sorted(payments, key=lambda p: (p.proof is None, p.proof.height if p.proof else 0, p.txid))


def is_deep(payment: Payment, tip: Tip, confirmations: int) -> bool:
    return payment.proof is not None and tip.confirmations(payment.proof) >= confirmations


def balance(payments: Iterable[Payment]) -> Swartz:
    """The payer's credit: the money of settled, proven payments that no term has spent."""
    credit = ZERO
    for payment in payments:
        if payment.settled and payment.proof is not None:
            credit = credit + payment.amount
            if payment.bought is not None:
                credit = credit - payment.bought.amount
    return credit


def quotes_that_judge(quotes: Sequence[Quote], moment: datetime) -> list[Quote]:
    """The quotes live at `moment`; if none was, the newest of each term before it: a late payer gets the stored price,
    and not one from after the payment. A payment before any quote is judged by the later quotes."""
    known = [quote for quote in quotes if quote.issued - _CLOCK_SKEW <= moment]
    live = [quote for quote in known if moment < quote.expires]
    if any(quote.issued <= moment for quote in live):
        return live
    return [*live, *_newest(quote for quote in known or quotes if quote not in live)]


# Miners' header times run up to two hours off: a quote also judges payments that seem to be that much older than it.
_CLOCK_SKEW = timedelta(hours=2)


def _newest(quotes: Iterable[Quote]) -> Iterable[Quote]:
    """The newest quote of each term."""
    return {quote.months: quote for quote in sorted(quotes, key=lambda quote: quote.issued)}.values()


@dataclass(frozen=True, slots=True)
class Short:
    """No quote is covered. `missing`: the shortfall for the shortest."""

    received: Swartz
    missing: Swartz
    quote: Quote


def buy(credit: Swartz, quotes: Sequence[Quote]) -> Purchase | Short | None:
    """Buys the longest term that the credit covers, else gives the shortfall for the shortest; None without quotes."""
    if not quotes:
        return None
    covered = [quote for quote in quotes if quote.amount <= credit]
    if covered:
        best = max(covered, key=lambda quote: (quote.months, -quote.amount.amount))
        return Purchase(best.id, best.amount, best.months)
    cheapest = min(quotes, key=lambda quote: (quote.months, quote.amount))
    return Short(credit, cheapest.amount - credit, cheapest)


@dataclass(frozen=True, slots=True)
class Term:
    """A time span: from a paying block's header time, in calendar months (UTC)."""

    starts: datetime
    ends: datetime


def term_of(payments: Iterable[Payment]) -> Term | None:
    """The term of all proven purchases together: each extends the one before from its end.

    A purchase after the end starts anew at its own block's time.
    """
    term: Term | None = None
    for payment in in_chain_order(payments):
        if payment.bought is None or payment.proof is None:
            continue
        if term is None or payment.proof.time > term.ends:
            term = Term(payment.proof.time, add_months(payment.proof.time, payment.bought.months))
        else:
            term = Term(term.starts, add_months(term.ends, payment.bought.months))
    return term
