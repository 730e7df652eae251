"""Books in dicts: the twin of the SQL books, and their measure.

Each method is a checkpoint first and then one uninterrupted piece of work, so a commit happens wholly or not at all,
and a cancelled task has changed nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from trio.lowlevel import checkpoint

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.content.sizes import disk_room
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money import entry
from pinning_worker.domain.money.entry import Entry, EntryLog
from pinning_worker.domain.money.payment import Payment, PaymentProof
from pinning_worker.domain.money.pricing import WATCHED_AFTER, Quote
from pinning_worker.domain.money.tariff import Tariff, TariffLog, follows, may_strike
from pinning_worker.domain.money.written_once import is_same_sighting, require_same_money, require_same_quote
from pinning_worker.domain.pin import ACTIVE, LIVE, STANDING, Pin, PinKey, Request, Share, State
from pinning_worker.ports.books import Change, Dossier

_NEVER = datetime.min.replace(tzinfo=UTC)


class MemoryBooks:
    """Port Books."""

    def __init__(self) -> None:
        self._requests: dict[Root, Request] = {}
        self._pins: dict[PinKey, Pin] = {}
        self._quotes: dict[str, Quote] = {}
        self._payments: dict[str, Payment] = {}
        self._payment_proofs: dict[str, PaymentProof] = {}
        self._tariffs: list[Tariff] = []
        self._entries: list[Entry] = []
        self._held: dict[Root, set[Multihash]] = {}
        self._holders: Counter[Multihash] = Counter()

    async def commit(self, change: Change) -> bool:
        """Rewritten (a bug) leaves the books unchanged, like a refused change."""
        await checkpoint()
        if not (
            self._is_current(change)
            and entry.follows(change.entries, len(self._entries))
            and self._is_written_once(change)
            and not any(self._names_struck(quote) for quote in change.quotes)
        ):
            return False
        self._entries += change.entries
        self._requests |= {new.root: replace(new, version=new.version + 1) for new in change.requests}
        self._pins |= {new.key: replace(new, version=new.version + 1) for new in change.pins}
        for old in change.forget:
            del self._requests[old.root]
        self._quotes |= {quote.id: quote for quote in change.quotes}
        self._payments |= {payment.txid: payment for payment in change.payments}
        self._payment_proofs |= {proof.txid: proof for proof in change.payment_proofs}
        for root in change.release:
            self._holders.subtract(self._held.pop(root, ()))
        self._holders = +self._holders if change.release else self._holders
        for root, multihashes in change.hold:
            already = self._held.setdefault(root, set())
            self._holders.update(set(multihashes) - already)
            already.update(multihashes)
        return True

    def _names_struck(self, quote: Quote) -> bool:
        """Whether a new quote names a tariff that the operator struck meanwhile."""
        is_struck = any(tariff.struck and tariff.number == quote.tariff for tariff in self._tariffs)
        return quote.id not in self._quotes and is_struck

    def _is_written_once(self, change: Change) -> bool:
        """False for a payment that another change has booked meanwhile. Raises Rewritten."""
        quotes, payments = dict(self._quotes), dict(self._payments)
        entries = (*self._entries, *change.entries)
        for quote in change.quotes:
            require_same_quote(quotes.setdefault(quote.id, quote), quote)
        for payment in change.payments:
            if not is_same_sighting(payments.setdefault(payment.txid, payment), payment):
                return False
            require_same_money(payments[payment.txid], payment, is_assigned=entry.is_assigned(payment, entries))
            payments[payment.txid] = payment
        return True

    def _is_current(self, change: Change) -> bool:
        """The same request or pin twice in one change conflicts with itself."""
        requests = {row.root: row.version for row in (*change.requests, *change.forget)}
        pins = {new.key: new.version for new in change.pins}
        return (
            len(requests) == len(change.requests) + len(change.forget)
            and len(pins) == len(change.pins)
            and all(old.root in self._requests for old in change.forget)
            and all(_version(self._requests.get(root)) == version for root, version in requests.items())
            and all(_version(self._pins.get(key)) == version for key, version in pins.items())
        )

    async def dossier(self, root: Root, naming: int) -> Dossier:
        await checkpoint()
        return Dossier(
            self._requests.get(root),
            tuple(self._pins_of(root)),
            tuple(self._quotes_of(root)),
            tuple(self._naming(root, naming)),
        )

    async def request(self, root: Root) -> Request | None:
        await checkpoint()
        return self._requests.get(root)

    async def pin(self, key: PinKey) -> Pin | None:
        await checkpoint()
        return self._pins.get(key)

    async def pins_of(self, root: Root) -> Sequence[Pin]:
        await checkpoint()
        return self._pins_of(root)

    def _pins_of(self, root: Root) -> list[Pin]:
        return sorted((pin for pin in self._pins.values() if pin.root == root), key=lambda pin: pin.name)

    async def pins_naming(self, cid: Root, limit: int) -> Sequence[Pin]:
        await checkpoint()
        return self._naming(cid, limit)

    def _naming(self, cid: Root, limit: int) -> list[Pin]:
        roots = {cid} | {request.root for request in self._requests.values() if cid in request.references}
        found = [pin for pin in self._pins.values() if pin.state in STANDING and pin.root in roots]
        found.sort(key=lambda pin: (pin.root, pin.name))
        return sorted(found, key=lambda pin: pin.ends or _NEVER, reverse=True)[:limit]

    async def quotes(self, root: Root) -> Sequence[Quote]:
        await checkpoint()
        return self._quotes_of(root)

    def _quotes_of(self, root: Root) -> list[Quote]:
        found = (quote for quote in self._quotes.values() if quote.root == root)
        return sorted(found, key=lambda quote: (quote.issued, quote.id))

    async def payment(self, txid: Txid) -> Payment | None:
        await checkpoint()
        return self._read(self._payments[txid]) if txid in self._payments else None

    def _read(self, payment: Payment) -> Payment:
        return replace(payment, withdrawn=entry.withdrawn(payment.txid, self._entries))

    async def payments_of(self, key: PinKey) -> Sequence[Payment]:
        await checkpoint()
        return _by_sight(self._read(payment) for payment in self._payments.values() if _key_of(payment) == key)

    async def payment_proof(self, txid: Txid) -> PaymentProof | None:
        await checkpoint()
        return self._payment_proofs.get(txid)

    async def payments_without_proof(self) -> Sequence[Txid]:
        await checkpoint()
        proven = (payment.txid for payment in self._payments.values() if payment.proof is not None)
        return sorted(txid for txid in proven if txid not in self._payment_proofs)

    async def paid_without_pin(self, root: Root) -> Sequence[PinKey]:
        await checkpoint()
        paid = {_key_of(each) for each in self._payments.values() if each.root == root and each.proof is not None}
        return sorted(paid - self._pins.keys(), key=lambda key: key.name)

    async def unsettled(self) -> Sequence[PinKey]:
        await checkpoint()
        keys = {_key_of(payment) for payment in self._payments.values() if _waits(payment)} & self._pins.keys()
        keys |= {pin.key for pin in self._pins.values() if pin.state is State.CREDIT}
        return sorted(keys, key=lambda key: (key.root, key.name))

    async def proven_from(self, height: int) -> Sequence[Payment]:
        await checkpoint()
        proven = [(p.proof.height, p.txid, p) for p in self._payments.values() if p.proof and p.proof.height >= height]
        return [self._read(payment) for *_, payment in sorted(proven, key=lambda entry: entry[:2])]

    async def due(self, now: datetime, limit: int) -> Sequence[Request | Pin]:
        await checkpoint()
        rows: list[Request | Pin] = [r for r in self._requests.values() if r.state not in ACTIVE]
        rows += self._pins.values()
        overdue = [(row.due_at, *_place(row), row) for row in rows if row.due_at is not None and row.due_at <= now]
        return [row for *_, row in sorted(overdue, key=lambda entry: entry[:4])[:limit]]

    async def waiting(self, limit: int, *, paid_for: bool) -> Sequence[Request]:
        await checkpoint()
        active = [(r.due_at or _NEVER, r.root, r) for r in self._active(paid_for)]
        return [request for *_, request in sorted(active, key=lambda entry: entry[:2])[:limit]]

    async def next_due(self, after: datetime) -> datetime | None:
        await checkpoint()
        dates = [row.due_at for rows in (self._requests, self._pins) for row in rows.values()]
        return min((due_at for due_at in dates if due_at is not None and due_at > after), default=None)

    async def active_requests(self, *, paid_for: bool) -> int:
        await checkpoint()
        return len(self._active(paid_for))

    def _active(self, paid_for: bool) -> list[Request]:
        kept = {pin.root for pin in self._pins.values() if pin.keeps}
        return [r for r in self._requests.values() if r.state in ACTIVE and (r.root in kept) == paid_for]

    async def unpaid_room(self) -> Mapping[tuple[Share, ...], int]:
        await checkpoint()
        kept, found = {pin.root for pin in self._pins.values() if pin.state in LIVE}, Counter[tuple[Share, ...]]()
        for request in self._requests.values():
            if request.state is State.QUOTED and request.sizes and request.root not in kept:
                found[request.staged_for] += disk_room(request.sizes.total, request.blocks)
        return found

    async def held(self, root: Root) -> Sequence[Multihash]:
        await checkpoint()
        return sorted(self._held.get(root, ()))

    async def holders(self, multihashes: Collection[Multihash]) -> dict[Multihash, set[Root]]:
        await checkpoint()
        found: dict[Multihash, set[Root]] = {}
        for root, held in self._held.items():
            for multihash in held.intersection(multihashes):
                found.setdefault(multihash, set()).add(root)
        return found

    async def unreferenced(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        await checkpoint()
        return {multihash for multihash in multihashes if multihash not in self._holders}

    async def scripts_in_use(self, now: datetime) -> set[Script]:
        await checkpoint()
        kept = {pin.root for pin in self._pins.values() if pin.state is not State.RELEASED}
        since = now - WATCHED_AFTER
        return {q.payment_script for q in self._quotes.values() if q.expires > since or q.root in kept}

    async def tariffs(self) -> TariffLog:
        await checkpoint()
        return tuple(self._tariffs)

    async def add_tariff(self, tariff: Tariff) -> bool:
        await checkpoint()
        if not follows(tariff, self._tariffs):
            return False
        self._tariffs.append(tariff)
        return True

    async def strike_tariff(self, number: int) -> bool:
        await checkpoint()
        named = any(quote.tariff == number for quote in self._quotes.values())
        if named or not may_strike(number, self._tariffs):
            return False
        since = self._tariffs[-1].honoured_from
        if any(payment.proof is not None and payment.proof.time >= since for payment in self._payments.values()):
            return False
        self._tariffs[-1] = replace(self._tariffs[-1], struck=True)
        return True

    async def entries(self) -> EntryLog:
        await checkpoint()
        return tuple(self._entries)

    async def measured(self) -> Mapping[Root, Mapping[int, int]]:
        await checkpoint()
        found: dict[Root, dict[int, int]] = {}
        for quote in self._quotes.values():
            sizes, size = found.setdefault(quote.root, {}), quote.sizes.total
            sizes[quote.tariff] = min(size, sizes.get(quote.tariff, size))
        return found

    async def all_pins(self) -> Sequence[Pin]:
        await checkpoint()
        return sorted(self._pins.values(), key=lambda pin: (pin.root, pin.name))

    async def all_payments(self) -> Sequence[Payment]:
        await checkpoint()
        return _by_sight(map(self._read, self._payments.values()))


def _waits(payment: Payment) -> bool:
    if payment.settled:
        return payment.proof is None
    return not payment.gone and (payment.proof is not None or payment.announced != 0)


def _version(row: Request | Pin | None) -> int:
    return row.version if row else 0


def _key_of(payment: Payment) -> PinKey:
    return PinKey(payment.root, payment.name)


def _place(row: Request | Pin) -> tuple[int, bytes, bytes]:
    """The order of rows due at the same moment: requests before pins, then by key."""
    return (1, row.root, row.name) if isinstance(row, Pin) else (0, row.root, b"")


def _by_sight(payments: Iterable[Payment]) -> list[Payment]:
    return sorted(payments, key=lambda payment: (payment.first_seen, payment.txid))
