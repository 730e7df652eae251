"""A worker's answers, as the asker understands them: bytes from the topic in, steps of the story out.

    Fetching*  ->  (Kept*)  Offer  ->  Seen*, Short*, Gone*  ->  Audited  ->  Pinned
    Refused, before the offer: the end. After it: a passing fault (a worker that cannot see the chain for a moment)

Rules: the caller has checked the sender. Answers to the question carry its id; messages about the payment go to all
peers, and carry its CID. A repeated question repeats the standing answer, so a repeated offer or pin is no step. A
message that does not follow docs/protocol.md is no step either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pinning_worker.domain.content.cid import BadCid, Cid, parse_cid
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.swartz import Swartz

NAME_AMOUNT = Swartz(1_000_000)  # in the name output; it stays the customer's, with the name
USUAL_NETWORK_FEE = Swartz(102_720)  # the browser's fee for one input and three outputs


@dataclass(frozen=True, slots=True)
class Fetching:
    blocks: int
    size: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A pin that existed before the offer: the CID is paid for already."""

    name: str
    until: str


@dataclass(frozen=True, slots=True)
class Offer:
    amount: Swartz
    months: int
    address: str
    quote: str
    expires: str
    network: str
    size: int
    blocks: int
    foreign: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    name: str
    txid: Txid
    amount: Swartz
    confirmations: int
    needed: int


@dataclass(frozen=True, slots=True)
class Short:
    name: str
    txid: Txid
    received: Swartz
    missing: Swartz


@dataclass(frozen=True, slots=True)
class Gone:
    """The payment left the mempool without a block, or was double spent."""

    name: str
    txid: Txid


@dataclass(frozen=True, slots=True)
class Audited:
    """Every block is on the worker's disk, was read back, and its hash is right. `receipt`: the CID of a signed one."""

    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Pinned:
    name: str
    until: str


@dataclass(frozen=True, slots=True)
class Refused:
    code: str
    message: str
    again_after: int | None


Step = Fetching | Kept | Offer | Seen | Short | Gone | Audited | Pinned | Refused


@dataclass(slots=True)
class Following:
    """One question and its results so far. `id` is the question's own."""

    cid: Cid
    id: str
    months: int | None = None
    offer: Offer | None = None
    _pins: set[tuple[str, str]] = field(default_factory=set)

    def question(self) -> bytes:
        """The NEW-CID; may be published again at any time."""
        months = {} if self.months is None else {"durationMonths": self.months}
        said = {"type": "NEW-CID", "cid": str(self.cid), "id": self.id, **months}
        return json.dumps(said, separators=(",", ":")).encode()

    def ends_with(self, step: Step) -> bool:
        return isinstance(step, Pinned) or (isinstance(step, Refused) and self.offer is None)

    def heard(self, data: bytes) -> Step | None:
        """The step that a message of the worker means for us; None: no step, or a known one."""
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict) or not self._is_about_ours(said.get("cid")):
            return None
        ours = said.get("id") == self.id
        step = _read(said)
        match step:
            case Offer() if ours and self.offer is None:
                self.offer = step
                return step
            case Pinned(name, until):
                return self._pinned(name, until)
            case Refused() if ours:
                return step
            case Fetching() if self.offer is None:
                return step
            case Seen() | Short() | Gone() | Audited() if self.offer is not None:
                return step
        return None

    def _pinned(self, name: str, until: str) -> Step | None:
        """A pin announced before the offer existed already; a different one after the offer is the paid one."""
        if (name, until) in self._pins:
            return None
        self._pins.add((name, until))
        return Kept(name, until) if self.offer is None else Pinned(name, until)

    def _is_about_ours(self, text: object) -> bool:
        try:
            return isinstance(text, str) and parse_cid(text).key == self.cid.key
        except BadCid:
            return False


def _read(said: Mapping[str, object]) -> Step | None:
    match said:
        case {"status": "FETCHING-CID", "blocks": int(blocks), "bytes": int(size)}:
            return Fetching(blocks, size)
        case {"status": "ADDING-CID"}:
            return _offer(said)
        case {
            "status": "PAYMENT-SEEN",
            "nameId": str(name),
            "txid": str(txid),
            "amount": int(amount),
            "confirmations": int(depth),
            "confirmationsNeeded": int(needed),
        }:
            return Seen(name, Txid(txid), Swartz(int(amount)), depth, needed)
        case {
            "status": "PAYMENT-SHORT",
            "nameId": str(name),
            "txid": str(txid),
            "received": int(received),
            "missing": int(missing),
        }:
            return Short(name, Txid(txid), Swartz(int(received)), Swartz(int(missing)))
        case {"status": "PAYMENT-GONE", "nameId": str(name), "txid": str(txid)}:
            return Gone(name, Txid(txid))
        case {"status": "ADDED-CID"}:
            receipt = said.get("receipt")
            return Audited(receipt if isinstance(receipt, str) else None)
        case {"status": "CID-PINNED-WITH-NAME", "nameId": str(name), "expirationDate": str(until)}:
            return Pinned(name, until)
        case {"status": "ERROR", "code": str(code), "message": str(message)}:
            again = said.get("retryAfterSeconds")
            return Refused(code, message, again if isinstance(again, int) else None)
        case _:
            return None


def _offer(said: Mapping[str, object]) -> Offer | None:
    match said:
        case {
            "fee": {"amount": int(amount), "durationMonths": int(months), "paymentAddress": str(address)},
            "bytes": {"total": int(size)},
            "blocks": int(blocks),
            "quote": {"id": str(quote), "expires": str(expires), "network": str(network)},
        } if address:
            foreign = said.get("foreign")
            links = tuple(str(link) for link in foreign) if isinstance(foreign, list) else ()
            return Offer(Swartz(int(amount)), months, address, quote, expires, network, size, blocks, links)
    return None
