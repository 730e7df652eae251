"""This worker's messages on the content topic, to the byte.

One frozen dataclass for each message; `encode()` gives the payload: compact JSON in UTF-8, the fields in the order
that deployed clients have always seen, ours after them. `cid` is the string exactly as in the request. `id` appears
only if the request had one. Amounts are whole swartz, dates UTC with milliseconds and `Z`. docs/protocol.md defines
when each may be sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from pinning_worker.domain.content.cid import cid_text
from pinning_worker.domain.content.sizes import Sizes as Sizes
from pinning_worker.domain.content.sizes import human_size
from pinning_worker.domain.errors import ErrorCode as ErrorCode
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.moment import date_text as date_text
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.signed_content import signature_text
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.listing import Days
from pinning_worker.domain.topic.name_row import LARGEST_ANSWER, KeptMedia, NameRow, json_array, name_text, with_media

_MOST_FOREIGN, _LONGEST_FOREIGN = 50, 500  # limits of the links that we repeat from a stranger's metadata.json


class Message(Protocol):
    """A message that this worker may publish."""

    def encode(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class FetchingCid:
    """A fetch takes longer than 2 s: sent then, and every 5 s while it runs."""

    cid: str
    blocks: int
    size: int
    id: str | None = None

    def encode(self) -> bytes:
        return _status("FETCHING-CID", {"cid": self.cid, **_id(self.id), "blocks": self.blocks, "bytes": self.size})


@dataclass(frozen=True, slots=True)
class AddingCid:
    """The closure is wholly held, measured and quoted: the standing answer, from which a browser pays.

    `signature` is the worker's, of the quote (`domain/money/signed_quote.py`).
    """

    cid: str
    quote: Quote
    id: str | None = None
    signature: bytes = b""

    def encode(self) -> bytes:
        quote, sizes = self.quote, self.quote.sizes
        counted = {"metadata": sizes.metadata, "image": sizes.image, "total": sizes.total}
        fields = {
            "cid": self.cid,
            "sizes": {part: human_size(count) for part, count in counted.items()},
            "fee": {
                "amount": quote.amount.amount,
                "durationMonths": quote.months,
                "paymentAddress": quote.payment_address,
            },
            **_id(self.id),
            "bytes": counted,
            "blocks": quote.blocks,
            "quote": {
                "id": quote.id,
                "priceVersion": quote.tariff,
                "issued": date_text(quote.issued),
                "expires": date_text(quote.expires),
                "network": quote.network,
                "tariff": quote.tariff_hash,
                **_signed(quote, self.signature),
            },
            "foreign": [link[:_LONGEST_FOREIGN] for link in quote.foreign[:_MOST_FOREIGN]],
        }
        return _status("ADDING-CID", fields)


@dataclass(frozen=True, slots=True)
class PaymentSeen:
    """A payment for a quote is in the mempool, or in a block with too few confirmations. No action follows yet."""

    cid: str
    name: NameBytes
    txid: Txid
    amount: Swartz
    confirmations: int
    confirmations_needed: int
    quote_id: str

    def encode(self) -> bytes:
        fields = {
            "cid": self.cid,
            "nameId": name_text(self.name),
            "txid": self.txid,
            "amount": self.amount.amount,
            "confirmations": self.confirmations,
            "confirmationsNeeded": self.confirmations_needed,
            "quoteId": self.quote_id,
        }
        return _status("PAYMENT-SEEN", fields)


@dataclass(frozen=True, slots=True)
class PaymentShort:
    """No term runs after a proven payment. `received`: the credit; `missing`: for `months`, the longest term quoted."""

    cid: str
    name: NameBytes
    txid: Txid
    received: Swartz
    missing: Swartz
    payment_address: str
    quote_id: str
    months: int
    missing_for_one_month: Swartz

    def encode(self) -> bytes:
        fields = {
            "cid": self.cid,
            "nameId": name_text(self.name),
            "txid": self.txid,
            "received": self.received.amount,
            "missing": self.missing.amount,
            "paymentAddress": self.payment_address,
            "quoteId": self.quote_id,
            "durationMonths": self.months,
            "missingForOneMonth": self.missing_for_one_month.amount,
        }
        return _status("PAYMENT-SHORT", fields)


@dataclass(frozen=True, slots=True)
class PaymentGone:
    """A payment that was announced left the mempool without a block, or was double spent."""

    cid: str
    name: NameBytes
    txid: Txid
    amount: Swartz

    def encode(self) -> bytes:
        fields = {"cid": self.cid, "nameId": name_text(self.name), "txid": self.txid, "amount": self.amount.amount}
        return _status("PAYMENT-GONE", fields)


@dataclass(frozen=True, slots=True)
class AddedCid:
    """Pinned: every block of the closure is on disk, read back, and its hash checked. Never after an error.

    `receipt` is the CID of the signed receipt of the last payment that bought a month, if there is one.
    """

    cid: str
    id: str | None = None
    receipt: str | None = None

    def encode(self) -> bytes:
        receipt = {} if self.receipt is None else {"receipt": self.receipt}
        return _status("ADDED-CID", {"cid": self.cid, **_id(self.id), **receipt})


@dataclass(frozen=True, slots=True)
class Renewal:
    """The quote that extends a pin from its end."""

    amount: Swartz
    months: int
    payment_address: str
    quote_id: str
    expires: datetime

    @staticmethod
    def of(quote: Quote, amount: Swartz | None = None) -> Renewal:
        """`amount`: the part that the pin's credit does not cover; None: all of the quote."""
        return Renewal(amount or quote.amount, quote.months, quote.payment_address, quote.id, quote.expires)

    def fields(self) -> dict[str, object]:
        return {
            "amount": self.amount.amount,
            "durationMonths": self.months,
            "paymentAddress": self.payment_address,
            "quoteId": self.quote_id,
            "expires": date_text(self.expires),
        }


@dataclass(frozen=True, slots=True)
class CidPinnedWithName:
    """Sent right after ADDED-CID for the name that paid; also the answer to NEW-CID for content of a live pin."""

    cid: str
    name: NameBytes
    expiration: datetime
    remaining_days: int
    renewal: Renewal
    id: str | None = None

    def encode(self) -> bytes:
        return _status("CID-PINNED-WITH-NAME", {**_term(self), **_id(self.id)})


@dataclass(frozen=True, slots=True)
class ExpiringCid:
    """The pin ends in 30, 7, 1 days."""

    cid: str
    name: NameBytes
    expiration: datetime
    remaining_days: int
    renewal: Renewal

    def encode(self) -> bytes:
        return _status("EXPIRING-CID", _term(self))


@dataclass(frozen=True, slots=True)
class ExpiredCid:
    """The term of the pin is over."""

    cid: str
    name: NameBytes
    expiration: datetime

    def encode(self) -> bytes:
        ended = {"nameId": name_text(self.name), "expirationDate": date_text(self.expiration)}
        return _status("EXPIRED-CID", {"cid": self.cid, **ended})


@dataclass(frozen=True, slots=True)
class Error:
    """A NEW-CID failed. `retry_after` (seconds) is sent only for codes with which a repeat may help."""

    cid: str
    code: ErrorCode
    message: str
    id: str | None = None
    retry_after: int | None = None

    def encode(self) -> bytes:
        retry = {"retryAfterSeconds": self.retry_after} if self.code.again and self.retry_after is not None else {}
        said = {"code": self.code.value, "message": self.message}
        return _status("ERROR", {"cid": self.cid, **_id(self.id), **said, **retry})


@dataclass(frozen=True, slots=True)
class NameOps:
    """A page of the name index, newest first; cut by whole entries at 900 000 bytes."""

    rows: tuple[NameRow, ...]

    def encode(self) -> bytes:
        return json_array(row.to_json() for row in self.rows)


@dataclass(frozen=True, slots=True)
class Names:
    """The same page with what it is a page of: the answer to a LIST with details. `media`: for each row what is kept of
    its content; None if nobody asked."""

    rows: tuple[NameRow, ...]
    reaches_back_to: int | None  # the lowest indexed block; None: no block is indexed yet
    complete: bool  # no block below that holds a name
    media: tuple[KeptMedia | None, ...] | None = None
    id: str | None = None

    def encode(self) -> bytes:
        begin = _status("NAMES", _id(self.id)).removesuffix(b"}") + b',"names":'
        reach = {"reachesBackTo": self.reaches_back_to, "complete": self.complete}
        end = b"," + json.dumps(reach, separators=(",", ":")).encode().removeprefix(b"{")
        return begin + json_array(self._entries(), LARGEST_ANSWER - len(begin) - len(end)) + end

    def _entries(self) -> Iterator[str]:
        if self.media is None:
            yield from (row.to_json() for row in self.rows)
        else:
            yield from (with_media(row, kept) for row, kept in zip(self.rows, self.media, strict=True))


@dataclass(frozen=True, slots=True)
class NoneFound:
    """The index has nothing for a LIST. (Deployed browsers publish `LAST_100_CIDS:NONE` too: it is not a request.)"""

    day: Days | date

    def encode(self) -> bytes:
        return ("LAST_100_CIDS:NONE" if self.day is Days.LAST else f"{self.day}_CIDS:NONE").encode()


@dataclass(frozen=True, slots=True)
class InvalidDateFormat:
    """A LIST had a malformed date."""

    def encode(self) -> bytes:
        return b"INVALID_DATE_FORMAT"


@dataclass(frozen=True, slots=True)
class ListError:
    """A LIST failed; the text gives the reason."""

    text: str

    def encode(self) -> bytes:
        return f"ERROR:{self.text}".encode()


def _term(pin: CidPinnedWithName | ExpiringCid) -> dict[str, object]:
    return {
        "cid": pin.cid,
        "nameId": name_text(pin.name),
        "expirationDate": date_text(pin.expiration),
        "remainingDays": pin.remaining_days,
        "renewal": pin.renewal.fields(),
    }


def _signed(quote: Quote, signature: bytes) -> dict[str, str]:
    """The quoted CID stands beside the signature: the message may be about an image that the quoted metadata names."""
    return {"cid": cid_text(quote.root), "signature": signature_text(signature)} if signature else {}


def _id(asked: str | None) -> dict[str, str]:
    return {} if asked is None else {"id": asked}


def _status(status: str, fields: Mapping[str, object]) -> bytes:
    text = json.dumps({"status": status, **fields}, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair, echoed from a typed request, becomes the \udXXX that JSON.stringify writes too.
    return text.encode("utf-8", "backslashreplace")
