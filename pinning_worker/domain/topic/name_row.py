"""One NameOp of the index, the LIST filters, and the row's JSON for the browser.

The deployed browser drops a whole answer if one `nameId` or `nameValue` is not a string, so bytes that are not UTF-8
are written `\\xNN`. `value` is decimal DOI for old clients, written from the integer's digits without a float;
`valueSwartz` beside it is the exact integer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.moment import date_text
from pinning_worker.domain.money.payment import named_cid
from pinning_worker.domain.money.swartz import SWARTZ_PER_DOI, Swartz
from pinning_worker.domain.topic.listing import NameFilter

LARGEST_ANSWER = 900_000

NAME_PREFIXES: dict[NameFilter, tuple[bytes, ...]] = {
    NameFilter.E: (b"e/",),
    NameFilter.PE: (b"pe/", b"poe/"),
    NameFilter.BP: (b"bp/",),
    NameFilter.NAMES: (b"e/", b"pe/", b"poe/", b"nft/", b"bp/"),  # names has none of these
}
EMPTY_VALUES = (b"", b" ", b"empty")
IPFS = b"ipfs://"


@dataclass(frozen=True, slots=True)
class KeptMedia:
    """Content that the worker keeps for a paid term, at least until the latest end. `sizes`: None for a part of another
    closure, as an image that a metadata names."""

    until: datetime
    sizes: Sizes | None = None
    blocks: int | None = None

    def fields(self) -> dict[str, object]:
        sizes = self.sizes
        counted = {} if sizes is None else {"metadata": sizes.metadata, "image": sizes.image, "total": sizes.total}
        measured = {"bytes": counted, "blocks": self.blocks} if counted else {}
        return {"pinned": True, **measured, "until": date_text(self.until)}


@dataclass(frozen=True, slots=True)
class NameRow:
    """A name output in a block of the verified chain: `position` is the transaction's index in it, `n` the output's."""

    txid: Txid
    height: int
    blocktime: int
    position: int
    n: int
    value_swartz: Swartz
    name: NameBytes
    value: bytes
    address: str = ""

    def matches(self, wanted: NameFilter, has_images: bool | None = None) -> bool:
        """Whether the filter selects this row. `has_images`: of the metadata that the value names; None: unknown."""
        match wanted:
            case NameFilter.ALL:
                return True
            case NameFilter.E | NameFilter.PE | NameFilter.BP:
                return self.name.startswith(NAME_PREFIXES[wanted])
            case NameFilter.NAMES:
                return self.value in EMPTY_VALUES and not self.name.startswith(NAME_PREFIXES[wanted])
            case NameFilter.NFC:
                return self.value.startswith(IPFS)
            case NameFilter.COLLECTIONS:
                return self.value.startswith(IPFS) and has_images is not False

    def to_json(self) -> str:
        """The compact object, in the order of the predecessor's fields, ours last."""
        fields = {
            "txid": _quoted(self.txid),
            "height": str(self.height),
            "blocktime": str(self.blocktime),
            "formattedBlocktime": _quoted(datetime.fromtimestamp(self.blocktime, UTC).strftime("%Y-%m-%d %H:%M:%S")),
            "n": str(self.n),
            "value": decimal_doi(self.value_swartz),
            "nameId": _quoted(name_text(self.name)),
            "nameValue": _quoted(name_text(self.value)),
            "address": _quoted(self.address),
            "valueSwartz": str(self.value_swartz.amount),
        }
        return "{" + ",".join(f'"{field}":{value}' for field, value in fields.items()) + "}"


def name_text(data: bytes) -> str:
    """A name or value as text; bytes that are not UTF-8 become `\\xNN`."""
    return data.decode("utf-8", "backslashreplace")


def decimal_doi(value: Swartz) -> str:
    """A JSON number: `0.01` for 1 000 000 swartz, `3` for 300 000 000."""
    whole, rest = divmod(value.amount, SWARTZ_PER_DOI)
    return f"{whole}.{rest:08d}".rstrip("0").rstrip(".")


def with_media(row: NameRow, kept: KeptMedia | None) -> str:
    """The row's object, and in it what is kept of the content that its value names; null if it names none."""
    named = named_cid(row.value)
    media = {"cid": named[1], **(kept.fields() if kept else {"pinned": False})} if named else None
    written = json.dumps(media, ensure_ascii=False, separators=(",", ":"))
    return f'{row.to_json()[:-1]},"media":{written}}}'


def json_array(entries: Iterable[str], largest: int = LARGEST_ANSWER) -> bytes:
    """The JSON texts as one array of at most `largest` bytes, cut by whole entries."""
    written: list[bytes] = []
    size = len(b"[]")
    for text in entries:
        entry = text.encode()
        size += len(entry) + (1 if written else 0)
        if size > largest:
            break
        written.append(entry)
    return b"[" + b",".join(written) + b"]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
