"""Receipts: the metadata record of each payment that bought a pin (`domain/money/receipt.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pinning_worker.domain.content.cid import cid_text
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.account import account_of
from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.receipt import Receipt, receipt_key
from pinning_worker.domain.pin import Pin, Request
from pinning_worker.domain.topic.name_row import name_text
from pinning_worker.domain.verdict import quote_in_question, settled
from pinning_worker.ports.books import Books, Receipts, SignedReceipts
from pinning_worker.ports.world import Clock
from pinning_worker.steps.tariffs import rates_of


@dataclass(slots=True)
class WrittenReceipts:
    clock: Clock
    books: Books
    receipts: Receipts
    signed_receipts: SignedReceipts

    async def write(self, pin: Pin, request: Request, *, released_at: datetime | None = None) -> None:
        """Writes the metadata record of each payment that bought this pin: before the pin's own row, and repeatable."""
        assert request.sizes is not None
        assert pin.starts is not None
        assert pin.ends is not None
        payments, quotes = await self.books.payments_of(pin.key), await self.books.quotes(pin.root)
        account = account_of(settled(payments), rates_of(await self.books.tariffs(), quotes), pin.ends)
        by_txid = {payment.txid: payment for payment in payments}
        for bought in account.purchases_of_term():
            if bought.txid is None:
                continue
            payment = by_txid[bought.txid]
            quote = quote_in_question(bought.amount, quotes)
            receipt = Receipt(
                cid=cid_text(pin.root),
                name_id=name_text(pin.name),
                txid=payment.txid,
                file_name=request.file_name,
                size=request.sizes.total,
                blocks=request.blocks,
                received=payment.amount,
                fee=bought.amount,
                months=bought.months,
                quote_id=quote.id if quote else "",
                pinned_at=self.clock.now(),
                starts=pin.starts,
                ends=pin.ends,
                released_at=released_at,
            )
            known = await self.receipts.get(receipt.key)
            await self.receipts.put(replace(receipt, pinned_at=known.pinned_at) if known else receipt)

    async def close(self, undone: Iterable[Payment]) -> None:
        """Closes the records of purchases that a reorg took back, or whose blocks never came back: they hold nothing
        any more, and their signed receipts go. The date is before the term's end, however late it is: the term was not
        served to it. A pin that is pinned again gets its record written again."""
        for payment in undone:
            await self.signed_receipts.drop(receipt_key(cid_text(payment.root), payment.txid))
            receipt = await self.receipts.get(receipt_key(cid_text(payment.root), payment.txid))
            if receipt is not None:
                released_at = min(self.clock.now(), receipt.ends - timedelta(seconds=1))
                await self.receipts.put(replace(receipt, released_at=released_at))

    async def was_served(self, pin: Pin, buyers: Iterable[Txid]) -> bool:
        """Whether a record says that the pin's term was served to its end: books that were rebuilt must not owe it."""
        for txid in buyers:
            receipt = await self.receipts.get(receipt_key(cid_text(pin.root), txid))
            if receipt is not None and receipt.is_served and receipt.ends == pin.ends:
                return True
        return False
