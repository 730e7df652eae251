"""Signed receipts: the worker's statement of one purchase, and the proof of its payment, in one block.

A receipt is a flat map of text, numbers and lists (`FIELDS`), encoded as canonical dag-cbor (`signed_content.py`); its
CID is that of the encoding. The field `signature` signs the encoding of all others. The same map as JSON is the same
receipt. docs/receipts.md is this page for people who verify one.

Rules: there is one encoding for each content, so one purchase has one CID. A receipt follows from the chain, the tariff
log, the quotes and the closure alone: books that are rebuilt sign the same one again. It tells what its payment bought
when it was made, and later payments do not change it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

import cbor2

from pinning_worker.domain.content.cid import DAG_CBOR, BadCid, Cid, cid_of, parse_cid
from pinning_worker.domain.identities import PeerId, Txid
from pinning_worker.domain.moment import date_text, read_date
from pinning_worker.domain.money.signed_content import (
    LARGEST_NUMBER,
    canonical,
    is_signed_by,
    read_signature,
    signature_text,
)
from pinning_worker.domain.money.swartz import Swartz

RECEIPT_TYPE = "pinning-receipt/1"
LARGEST_TRANSACTION = 100_000  # bytes; nodes relay none larger, and a receipt with it still fits a block
LARGEST_RECEIPT = 1 << 20
LONGEST_BRANCH = 32
_HEADER_SIZE = 80

Element = TypeVar("Element")


class BadReceipt(ValueError):
    """Not a receipt, or not one in its only encoding."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """The content of a receipt. `cid` is CIDv1 in base32; `starts` and `ends` are the term right after this payment.

    `transaction` are the bytes whose hash is the txid (no witness); `branch` is hex in display order, leaf first.
    """

    cid: str
    size: int  # bytes of the whole closure
    blocks: int
    name_id: str
    months: int
    starts: datetime
    ends: datetime
    amount: Swartz
    network: str
    txid: Txid
    vouts: tuple[int, ...]
    transaction: bytes
    height: int
    block_hash: str
    header: bytes
    position: int
    branch: tuple[str, ...]
    quote: str  # its id; empty: none is known
    tariff: int
    tariff_hash: str
    worker: PeerId

    def fields(self) -> dict[str, object]:
        """The fields that are signed, by their names in the receipt."""
        return {"type": RECEIPT_TYPE} | {
            FIELDS[field.name]: _written(getattr(self, field.name)) for field in fields(self)
        }

    def message(self) -> bytes:
        """The bytes that are signed. Raises BadContent."""
        return canonical(self.fields())


FIELDS = {
    **{name: name for name in ("cid", "blocks", "months", "starts", "ends", "amount", "network", "txid", "vouts")},
    **{name: name for name in ("transaction", "height", "header", "position", "branch", "quote", "tariff", "worker")},
    "size": "bytes",
    "name_id": "nameId",
    "block_hash": "blockHash",
    "tariff_hash": "tariffHash",
}


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    purchase: Purchase
    signature: bytes

    def fields(self) -> dict[str, object]:
        return {**self.purchase.fields(), "signature": signature_text(self.signature)}

    def encode(self) -> bytes:
        """The block: canonical dag-cbor."""
        return canonical(self.fields())

    def encode_json(self) -> str:
        return json.dumps(self.fields(), ensure_ascii=False, indent=2)

    @property
    def cid(self) -> Cid:
        """The CID of the receipt itself."""
        return receipt_cid(self.encode())

    def is_signed(self) -> bool:
        """Whether the worker that it names signed it. Raises BadContent if that is no peer id of an Ed25519 key."""
        return is_signed_by(self.purchase.worker, self.purchase.message(), self.signature)


def receipt_cid(block: bytes) -> Cid:
    return cid_of(DAG_CBOR, block)


def sign_receipt(purchase: Purchase, sign: Callable[[bytes], bytes]) -> SignedReceipt:
    return SignedReceipt(purchase, sign(purchase.message()))


def read_receipt(data: bytes) -> SignedReceipt:
    """A receipt as the block of dag-cbor, or as JSON. Does not verify its signature. Raises BadReceipt, for dag-cbor in
    any but the one encoding too."""
    if len(data) > LARGEST_RECEIPT:
        raise BadReceipt("larger than any receipt")
    is_json = data.lstrip()[:1] == b"{"
    receipt = _from_fields(_load_json(data) if is_json else _load_cbor(data))
    if not is_json and receipt.encode() != data:
        raise BadReceipt("not in the canonical encoding")
    return receipt


def _load_json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadReceipt("this looks like JSON, but is not") from error


def _load_cbor(data: bytes) -> object:
    if not 0xA0 <= (data[0] if data else 0) <= 0xBB:  # a map: tags and their decoders are never reached at the top
        raise BadReceipt("neither dag-cbor nor JSON of a receipt")
    try:
        return cbor2.loads(data, tag_hook=_refuse_tag)
    except (cbor2.CBORError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError, MemoryError) as error:
        raise BadReceipt("neither dag-cbor nor JSON of a receipt") from error


def _refuse_tag(_decoder: object, tag: object) -> object:
    raise BadReceipt(f"no tag belongs into a receipt: {tag}")


def _from_fields(found: object) -> SignedReceipt:
    if not isinstance(found, Mapping):
        raise BadReceipt("a receipt is a map of fields")
    expected = {"type", "signature", *FIELDS.values()}
    if set(found) != expected:
        odd = ", ".join(sorted(map(str, expected.symmetric_difference(found))))
        raise BadReceipt(f"fields that lack, or do not belong there: {odd}")
    if found["type"] != RECEIPT_TYPE:
        raise BadReceipt(f"not a receipt of a kind that we know: {found['type']!r}")
    try:
        receipt = SignedReceipt(_purchase(found), read_signature(_text(found["signature"])))
        receipt.encode()
    except (ValueError, OverflowError) as error:
        raise BadReceipt(f"a receipt: {error}") from error
    return receipt


def _purchase(found: Mapping[str, Any]) -> Purchase:
    """Raises ValueError."""
    return Purchase(
        cid=_cid(found["cid"]),
        size=_number(found["bytes"]),
        blocks=_number(found["blocks"]),
        name_id=_text(found["nameId"]),
        months=_number(found["months"]),
        starts=read_date(_text(found["starts"])),
        ends=read_date(_text(found["ends"])),
        amount=Swartz(_number(found["amount"])),
        network=_text(found["network"]),
        txid=Txid(_hex(found["txid"], 32).hex()),
        vouts=_list(found["vouts"], _number),
        transaction=_hex(found["transaction"]),
        height=_number(found["height"]),
        block_hash=_hex(found["blockHash"], 32).hex(),
        header=_hex(found["header"], _HEADER_SIZE),
        position=_number(found["position"]),
        branch=_list(found["branch"], lambda each: _hex(each, 32).hex()),
        quote=_text(found["quote"]),
        tariff=_number(found["tariff"]),
        tariff_hash=_text(found["tariffHash"]),
        worker=PeerId(_text(found["worker"])),
    )


def _written(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return date_text(value)
        case Swartz():
            return value.amount
        case tuple():
            return list(value)
        case _:
            return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadReceipt(f"not a text: {value!r}")
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_NUMBER:
        raise BadReceipt(f"not a whole number: {value!r}")
    return value


def _hex(value: object, size: int | None = None) -> bytes:
    """Lower case without blanks, so that there is one spelling."""
    data = bytes.fromhex(_text(value))
    if data.hex() != value or (size is not None and len(data) != size):
        raise BadReceipt(f"not hex of the right length: {value!r}")
    return data


def _cid(value: object) -> str:
    try:
        is_usual = str(parse_cid(_text(value))) == value and _text(value).startswith("b")
    except BadCid as error:
        raise BadReceipt(f"not a CID: {value!r}") from error
    if not is_usual:
        raise BadReceipt(f"not a CIDv1 in base32: {value!r}")
    return _text(value)


def _list(value: object, read: Callable[[object], Element]) -> tuple[Element, ...]:
    if not isinstance(value, list):
        raise BadReceipt(f"not a list: {value!r}")
    return tuple(read(each) for each in value)
