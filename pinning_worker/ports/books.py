"""The books (requests, pins, quotes, payments, block references of each root) and the receipts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.entry import Entry, EntryLog
from pinning_worker.domain.money.payment import Payment, PaymentProof
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.receipt import Receipt
from pinning_worker.domain.money.tariff import Tariff, TariffLog
from pinning_worker.domain.pin import Pin, PinKey, Request, Share


@dataclass(frozen=True, slots=True)
class Change:
    """All that one step changes, stored together or not at all.

    Each request and pin carries the version that the step read (0: it must not exist yet); the books store it with
    the next one. A payment that names no CID may get one in the change whose `entries` assign it. `hold` adds block
    references (root, multihashes); `release` drops all references of its roots. `forget` deletes requests from the
    books. A payment
    proof replaces the one of its transaction.
    """

    requests: tuple[Request, ...] = ()
    pins: tuple[Pin, ...] = ()
    quotes: tuple[Quote, ...] = ()
    payments: tuple[Payment, ...] = ()
    hold: tuple[tuple[Root, tuple[Multihash, ...]], ...] = ()
    release: tuple[Root, ...] = ()
    forget: tuple[Request, ...] = ()
    entries: tuple[Entry, ...] = ()
    payment_proofs: tuple[PaymentProof, ...] = ()


@dataclass(frozen=True, slots=True)
class Dossier:
    """All rows of the books about one root, read at one moment."""

    request: Request | None
    pins: tuple[Pin, ...]  # of this root, in any state, by name
    quotes: tuple[Quote, ...]  # all of this root, oldest first
    naming: tuple[Pin, ...]  # STANDING pins of this root or of one that references it: latest end first, a few


class Books(Protocol):
    """Requests, pins, quotes, payments, and the block references of each root. The truth of this worker."""

    async def commit(self, change: Change) -> bool:
        """Compare and swap: False, and nothing changes, if any request or pin has another version by now, or the
        numbers of `entries` do not follow the last one's, or a new quote names a struck tariff."""

    async def dossier(self, root: Root, naming: int) -> Dossier:
        """`naming`: the most pins in `Dossier.naming`."""

    async def request(self, root: Root) -> Request | None: ...

    async def pin(self, key: PinKey) -> Pin | None: ...

    async def pins_of(self, root: Root) -> Sequence[Pin]:
        """Every pin of that root, in any state, by name."""

    async def pins_naming(self, cid: Root, limit: int) -> Sequence[Pin]:
        """STANDING pins whose root is this CID, or whose root's request lists it in `references`: latest end first."""

    async def quotes(self, root: Root) -> Sequence[Quote]:
        """All quotes of that root, lapsed ones included, oldest first."""

    async def payment(self, txid: Txid) -> Payment | None: ...

    async def payments_of(self, key: PinKey) -> Sequence[Payment]:
        """Every payment for that pin, gone ones included."""

    async def payment_proof(self, txid: Txid) -> PaymentProof | None: ...

    async def payments_without_proof(self) -> Sequence[Txid]:
        """Payments in a block of which no payment proof is kept: they are from before it was, or not read yet."""

    async def paid_without_pin(self, root: Root) -> Sequence[PinKey]:
        """The names under which proven money for that root came, and no pin is in the books: dust from before the
        first quote."""

    async def unsettled(self) -> Sequence[PinKey]:
        """Pins that a new block concerns: in CREDIT, or with a payment neither settled nor gone, or settled and now
        without a proof. Left out: payments without a pin, and those in the mempool that were announced as such, for no
        block changes the judgement of them."""

    async def proven_from(self, height: int) -> Sequence[Payment]:
        """Payments with a proof at that height or above, which a reorg from there may take back."""

    async def due(self, now: datetime, limit: int) -> Sequence[Request | Pin]:
        """Rows that are due now, the longest overdue first, without ACTIVE requests, whose queue may be long."""

    async def waiting(self, limit: int, *, paid_for: bool) -> Sequence[Request]:
        """ACTIVE requests, the longest waiting first. `paid_for`: of roots that a pin `keeps`; else all others."""

    async def next_due(self, after: datetime) -> datetime | None:
        """The first `due_at` after that moment."""

    async def active_requests(self, *, paid_for: bool) -> int:
        """The number of ACTIVE requests. `paid_for`: of roots that a pin `keeps`; else all others."""

    async def unpaid_room(self) -> Mapping[tuple[Share, ...], int]:
        """The `disk_room` of QUOTED requests that no LIVE pin keeps, by `staged_for`: the figures of the staging quota.
        Each block counts once within a closure."""

    async def held(self, root: Root) -> Sequence[Multihash]:
        """The multihashes referenced by that root."""

    async def holders(self, multihashes: Collection[Multihash]) -> dict[Multihash, set[Root]]:
        """The roots that reference each block; a block without references is left out."""

    async def unreferenced(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """The given multihashes that no root references."""

    async def scripts_in_use(self, now: datetime) -> set[Script]:
        """Payment scripts of quotes that expired less than WATCHED_AFTER ago, and of all quotes of roots with a pin
        that is not RELEASED: to be watched even after the operator removed them from the settings."""

    async def tariffs(self) -> TariffLog:
        """All tariffs by number, struck ones included."""

    async def add_tariff(self, tariff: Tariff) -> bool:
        """Appends a tariff. False, and nothing changes, unless its number follows the last one's and its time is not
        before the last one's."""

    async def strike_tariff(self, number: int) -> bool:
        """Marks a tariff as struck. False unless it is the last, not the first, no quote names it, and no payment is
        proven in a block from when it is honoured: it may have bought a month by it."""

    async def entries(self) -> EntryLog:
        """All entries of the operator, by number."""

    async def measured(self) -> Mapping[Root, Mapping[int, int]]:
        """The fewest bytes of each quoted closure, by the number of a tariff that a quote of it names."""

    async def all_pins(self) -> Sequence[Pin]: ...

    async def all_payments(self) -> Sequence[Payment]: ...


class Receipts(Protocol):
    """The metadata records of pins, mirrored to other nodes later. One per (CID, paying transaction)."""

    async def put(self, receipt: Receipt) -> None:
        """Inserts or replaces by `receipt.key`."""

    async def get(self, key: str) -> Receipt | None: ...

    async def all(self) -> Sequence[Receipt]: ...


class SignedReceipts(Protocol):
    """The signed receipts, as blocks. They lie apart from the content: no root holds them, and no sweep sees them."""

    async def put(self, key: str, block: bytes) -> None:
        """Inserts or replaces by `receipt_key`."""

    async def get(self, key: str) -> bytes | None: ...

    async def drop(self, key: str) -> None:
        """A missing receipt is no error."""

    async def block(self, multihash: Multihash) -> bytes | None:
        """The receipt with that multihash. Strangers may ask: of one that is not here, the answer costs no I/O."""
