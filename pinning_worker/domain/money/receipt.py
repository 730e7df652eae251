"""The metadata record of a pin: what was pinned, for whom, paid how, until when.

One per (CID, name, paying transaction), so that a second payer never overwrites the first. It is what other nodes
mirror later; field names follow the record of the predecessor's `pinning-metadata` documents where they mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.swartz import Swartz


@dataclass(frozen=True, slots=True)
class Receipt:
    cid: str  # CIDv1, base32
    name_id: str
    txid: Txid
    file_name: str
    size: int  # bytes of the whole closure
    blocks: int
    received: Swartz  # all of this transaction's outputs to us
    fee: Swartz  # what it bought
    months: int
    quote_id: str
    pinned_at: datetime
    starts: datetime
    ends: datetime  # of the whole term that it is part of
    released_at: datetime | None = None

    @property
    def key(self) -> str:
        return receipt_key(self.cid, self.txid)


def receipt_key(cid: str, txid: Txid) -> str:
    """`cid`: CIDv1, base32."""
    return f"{cid}/{txid}"
