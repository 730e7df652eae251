"""The metadata record of a pin: its content, name, payment and term.

One per (CID, name, paying transaction), so that a second payer never overwrites the first. Other nodes mirror it later.
Field names follow the predecessor's `pinning-metadata` documents where the meaning is the same.
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
    fee: Swartz  # the amount of the quote that it covered
    months: int
    quote_id: str
    pinned_at: datetime
    starts: datetime
    ends: datetime  # of the whole term that it is part of
    released_at: datetime | None = None  # before `ends`: the term was not served to its end

    @property
    def is_served(self) -> bool:
        """Whether the term was served to its end."""
        return self.released_at is not None and self.released_at >= self.ends

    @property
    def key(self) -> str:
        return receipt_key(self.cid, self.txid)


def receipt_key(cid: str, txid: Txid) -> str:
    """`cid`: CIDv1, base32."""
    return f"{cid}/{txid}"
