"""Signing: each quote as it is told, and a receipt for each payment that bought a month.

A receipt is signed before the pin's own row is stored, and repeatable: the same facts give the same block, so a step
that is taken again changes nothing. A payment that a reorg moved to another block gets another receipt. Without the
payment's proof (the watcher has yet to read it again) there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pinning_worker.domain.content.cid import Cid, cid_text
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.account import Bought, account_of
from pinning_worker.domain.money.payment import Payment, PaymentProof, Term
from pinning_worker.domain.money.pricing import Quote, add_months
from pinning_worker.domain.money.receipt import receipt_key
from pinning_worker.domain.money.signed_quote import quote_message
from pinning_worker.domain.money.signed_receipt import (
    LARGEST_TRANSACTION,
    Purchase,
    read_receipt,
    receipt_cid,
    sign_receipt,
)
from pinning_worker.domain.money.tariff import Tariff, TariffLog, quoted_at
from pinning_worker.domain.pin import Pin, Request
from pinning_worker.domain.topic.name_row import name_text
from pinning_worker.domain.verdict import quote_in_question, settled
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.tariffs import rates_of


@dataclass(slots=True)
class Signing(Chapter):
    def quote_signature(self, quote: Quote) -> bytes:
        return self.near.signer.sign(quote_message(quote, self.near.signer.peer_id))

    async def sign_purchases(self, pin: Pin, request: Request) -> Cid | None:
        """Signs the receipt of each payment that bought this pin. Returns the CID of the last payment's receipt."""
        payments, quotes = await self.books.payments_of(pin.key), await self.books.quotes(pin.root)
        tariffs = await self.books.tariffs()
        account = account_of(settled(payments), rates_of(tariffs, quotes), pin.ends or self.clock.now())
        by_txid, last = {payment.txid: payment for payment in payments}, None
        for txid, bought, term in terms_bought(account.history):
            last = await self._signed(by_txid[txid])
            proof = await self.books.payment_proof(txid) if last is None else None
            if proof is not None and len(proof.transaction) <= LARGEST_TRANSACTION:
                quote, tariff = _quote_of(by_txid[txid], quotes, tariffs)
                purchase = self._purchase(pin, request, by_txid[txid], proof, bought, term, quote, tariff)
                last = await self._sign(purchase)
        return last

    async def _signed(self, payment: Payment) -> Cid | None:
        """The receipt of this payment in its block, if it is signed already."""
        assert payment.proof is not None
        block = await self.near.signed_receipts.get(receipt_key(cid_text(payment.root), payment.txid))
        if block is None or read_receipt(block).purchase.block_hash != payment.proof.block_hash:
            return None
        return receipt_cid(block)

    async def _sign(self, purchase: Purchase) -> Cid:
        receipt = sign_receipt(purchase, self.near.signer.sign)
        await self.near.signed_receipts.put(receipt_key(purchase.cid, purchase.txid), receipt.encode())
        return receipt.cid

    def _purchase(
        self,
        pin: Pin,
        request: Request,
        payment: Payment,
        proof: PaymentProof,
        bought: Bought,
        term: Term,
        quote: Quote | None,
        tariff: Tariff,
    ) -> Purchase:
        assert payment.proof is not None
        assert request.sizes is not None
        return Purchase(
            cid=cid_text(pin.root),
            size=request.sizes.total,
            blocks=request.blocks,
            name_id=name_text(pin.name),
            months=bought.months,
            starts=term.starts,
            ends=term.ends,
            amount=payment.received,
            network=self.terms.network,
            txid=payment.txid,
            vouts=tuple(sorted(output.vout for output in payment.outputs)),
            transaction=proof.transaction,
            height=payment.proof.height,
            block_hash=payment.proof.block_hash,
            header=proof.header,
            position=proof.position,
            branch=proof.branch,
            quote=quote.id if quote else "",
            tariff=tariff.number,
            tariff_hash=tariff.hash,
            worker=self.near.signer.peer_id,
        )


def terms_bought(history: Iterable[Bought]) -> Iterable[tuple[Txid, Bought, Term]]:
    """Each payment that bought months, with the term right after it. Later payments do not change that."""
    term, months = None, 0
    for bought in history:
        if not bought.months:
            continue
        runs = term is not None and bought.at <= term.ends
        starts, months = (term.starts, months + bought.months) if term and runs else (bought.at, bought.months)
        term = Term(starts, add_months(starts, months))
        if bought.txid is not None:
            yield bought.txid, bought, term


def _quote_of(payment: Payment, quotes: Sequence[Quote], tariffs: TariffLog) -> tuple[Quote | None, Tariff]:
    """The quote that the payment answers, and its tariff: of those given before its block; else the first one after it
    (a miner's clock may be behind). So quotes of later days change no receipt that is signed again."""
    assert payment.proof is not None
    given = [quote for quote in quotes if quote.issued <= payment.proof.time]
    quote = quote_in_question(payment.amount, given) or min(quotes, key=lambda quote: quote.issued, default=None)
    named = next((each for each in tariffs if quote is not None and each.number == quote.tariff), None)
    return quote, named or quoted_at(payment.proof.time, tariffs)
