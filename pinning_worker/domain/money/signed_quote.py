"""Signed quotes: with the signature in ADDING-CID, a payer can prove what he was quoted.

The signed content is rebuilt from the message alone (docs/receipts.md): the quote's own fields, and those of the fee.
"""

from __future__ import annotations

from pinning_worker.domain.content.cid import cid_text
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.moment import date_text
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.signed_content import canonical

QUOTE_TYPE = "pinning-quote/1"


def quote_message(quote: Quote, worker: PeerId) -> bytes:
    """The bytes that are signed."""
    return canonical(
        {
            "type": QUOTE_TYPE,
            "worker": worker,
            "id": quote.id,
            "cid": cid_text(quote.root),
            "bytes": quote.sizes.total,
            "blocks": quote.blocks,
            "amount": quote.amount.amount,
            "durationMonths": quote.months,
            "paymentAddress": quote.payment_address,
            "priceVersion": quote.tariff,
            "tariff": quote.tariff_hash,
            "issued": date_text(quote.issued),
            "expires": date_text(quote.expires),
            "network": quote.network,
        }
    )
