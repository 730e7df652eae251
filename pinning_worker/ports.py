"""Everything the stories need from outside, on one page, in the stories' words.

Rules: a port has as few methods as its story needs. Every port has an in-memory twin in `adapters/memory`, and one
contract suite in `tests/contract` runs on every implementation. Outcomes of business are values; what an adapter
raises says whose fault it is: `Trouble` and its children may happen any day, everything else is a bug.
Keys: a `Root` is the CIDv1 bytes of a CID (`Cid.key`); a block is named by its `Multihash`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from pinning_worker.domain.chain.nameop import NameOp
from pinning_worker.domain.content.cid import Cid, Root
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId, Script, Txid
from pinning_worker.domain.money.payment import Payment, Sighting, Tip
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.receipt import Receipt
from pinning_worker.domain.pin import Pin, PinKey, Request, Share
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.messages import Message
from pinning_worker.domain.topic.name_row import NameRow


class Trouble(Exception):
    """Something outside failed in a way that happens any day; trying again later is the cure."""


class DiskFull(Trouble):
    """The disk (or our quota on it) has no room."""


class NeedsMending(Trouble):
    """A file is damaged, somebody else's, or not ours to use: only the operator can cure it. The text names the file,
    and says what to do. No start on it; a worker that runs already goes on, as with any other trouble."""


# ---------------------------------------------------------------- time


class Clock(Protocol):
    def now(self) -> datetime:
        """UTC, aware."""

    async def sleep(self, seconds: float) -> None: ...


# ---------------------------------------------------------------- crashes


class CrashNotes(Protocol):
    """The work under way, and how often work ended in a crash; both outlive the process, however it ends. Work has a
    name (`steps/crashes.py`). Not async: the note is there before the work begins, and costs microseconds."""

    def counts(self) -> Mapping[str, int]:
        """Of all work that has crashed and not been forgiven since."""

    def begin(self, name: str) -> None:
        """The same name may be under way more than once."""

    def end(self, name: str, *, crashed: bool = False) -> int:
        """Counts a crash, or forgives all earlier ones. Returns the count now."""


# ---------------------------------------------------------------- the books


@dataclass(frozen=True, slots=True)
class Change:
    """All that one step changes, stored together or not at all.

    Each request and pin carries the version that the step read (0: it must not exist yet); the books store it with
    the next one. `hold` adds block references (root, multihashes); `release` drops all references of those roots.
    `forget` takes requests out of the books.
    """

    requests: tuple[Request, ...] = ()
    pins: tuple[Pin, ...] = ()
    quotes: tuple[Quote, ...] = ()
    payments: tuple[Payment, ...] = ()
    hold: tuple[tuple[Root, tuple[Multihash, ...]], ...] = ()
    release: tuple[Root, ...] = ()
    forget: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class Dossier:
    """All that the books say about one root, read at one moment."""

    request: Request | None
    pins: tuple[Pin, ...]  # of this root, in any state, by name
    quotes: tuple[Quote, ...]  # all ever given, oldest first
    naming: tuple[Pin, ...]  # STANDING pins of this root or of one that references it: latest end first, a few


class Books(Protocol):
    """Requests, pins, quotes, payments, and which block is held for which root. The truth of this worker."""

    async def commit(self, change: Change) -> bool:
        """Compare and swap: False, with nothing changed, if any request or pin has another version by now."""

    async def dossier(self, root: Root, naming: int) -> Dossier:
        """`naming`: how many of those pins at most."""

    async def request(self, root: Root) -> Request | None: ...

    async def pin(self, key: PinKey) -> Pin | None: ...

    async def pins_of(self, root: Root) -> Sequence[Pin]:
        """Every pin of that root, in any state, by name."""

    async def pins_naming(self, cid: Root, limit: int) -> Sequence[Pin]:
        """STANDING pins whose root is this CID, or whose root's request lists it in `references`: latest end first."""

    async def quotes(self, root: Root) -> Sequence[Quote]:
        """All quotes ever given for that root, oldest first."""

    async def payment(self, txid: Txid) -> Payment | None: ...

    async def payments_of(self, key: PinKey) -> Sequence[Payment]:
        """Every payment for that pin, gone ones included."""

    async def unsettled(self) -> Sequence[PinKey]:
        """Pins that a new block concerns: in CREDIT, or with a payment neither settled nor gone, or settled and now
        without a proof. Money without a pin concerns none."""

    async def proven_from(self, height: int) -> Sequence[Payment]:
        """Payments whose proof stands at that height or above: those that a reorg from there may take back."""

    async def due(self, now: datetime, limit: int) -> Sequence[Request | Pin]:
        """What is due now, the longest overdue first; but not ACTIVE requests, whose queue may be long."""

    async def waiting(self, limit: int, *, paid_for: bool) -> Sequence[Request]:
        """ACTIVE requests, the longest waiting first: those whose root a pin `keeps`, or the others."""

    async def next_due(self, after: datetime) -> datetime | None:
        """The first `due_at` later than that."""

    async def active_requests(self, *, paid_for: bool) -> int:
        """Requests in an ACTIVE state: those whose root a pin `keeps`, or the others."""

    async def unpaid_room(self) -> Mapping[tuple[Share, ...], int]:
        """The `disk_room` of QUOTED requests that no LIVE pin keeps, by `staged_for`: what the staging quota counts.
        Each block once within a closure."""

    async def held(self, root: Root) -> Sequence[Multihash]:
        """The multihashes referenced by that root."""

    async def holders(self, multihashes: Collection[Multihash]) -> dict[Multihash, set[Root]]:
        """The roots that reference each block; of those that any does."""

    async def unreferenced(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """Those of them that no root references."""

    async def scripts_in_use(self, now: datetime) -> set[Script]:
        """Payment scripts of quotes that have not expired, and of all quotes of roots that have a pin that is not
        RELEASED: watched even when the operator's settings name them no more."""

    async def all_pins(self) -> Sequence[Pin]: ...

    async def all_payments(self) -> Sequence[Payment]: ...


class Receipts(Protocol):
    """The metadata record of each pin, mirrored to other nodes later. One per (CID, paying transaction)."""

    async def put(self, receipt: Receipt) -> None:
        """Insert or replace by `receipt.key`."""

    async def get(self, key: str) -> Receipt | None: ...

    async def all(self) -> Sequence[Receipt]: ...


# ---------------------------------------------------------------- blocks


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What was freed on one day and can still come back. `was_paid`: or nobody knows whether it was."""

    day: date
    was_paid: bool
    blocks: int
    bytes: int


class Blocks(Protocol):
    """Bytes by multihash. A put is whole or not there; it outlives a power cut only after `sync`.

    Nothing is deleted at once: `free` puts a block into quarantine, where it is not here for any other method, until
    `recall` brings it back or `purge` deletes it. A full disk deletes from quarantine first: of what was never paid,
    then the oldest.
    """

    found_broken: Callable[[Multihash], None]
    """Called with the multihash of a block that `get` read and found to be something else; `get` then returns None. On
    disk it has no size either, until it is put again."""

    async def put(self, multihash: Multihash, data: bytes) -> None:
        """Raises DiskFull. The caller has verified the hash. A block that was found broken is replaced."""

    async def get(self, multihash: Multihash) -> bytes | None:
        """Only bytes that hash to the name."""

    async def size(self, multihash: Multihash) -> int | None: ...

    async def sizes(self, multihashes: Sequence[Multihash]) -> dict[Multihash, int]:
        """Of those that are here."""

    async def sync(self, multihashes: Sequence[Multihash]) -> None:
        """After it, these blocks outlive a power cut."""

    async def audit(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """Reads each one back and hashes it: the set of those missing or not what their name says."""

    async def free(self, multihashes: Sequence[Multihash], day: date, *, was_paid: bool) -> None:
        """Into quarantine, under that day. Those not there are no error. What was never paid takes no more than a
        limit there: its oldest is deleted beyond it."""

    async def remember(self, multihashes: Sequence[Multihash], day: date) -> None:
        """A copy into quarantine, under that day and as paid for, of blocks that stay here: whoever holds them besides
        may let them go as never paid for."""

    async def recall(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """Out of quarantine, those that are in it and whole: they are returned. A copy stays until its day comes."""

    async def purge(self, before: date) -> None:
        """Deletes what was freed on an earlier day."""

    async def quarantined(self) -> Sequence[Quarantined]:
        """By day."""

    def all(self) -> AsyncGenerator[Sequence[Multihash], None]:
        """Every multihash there is, in pieces of bounded size. Close it (`aclosing`) when leaving early."""


# ---------------------------------------------------------------- the network


@dataclass(frozen=True, slots=True)
class Budget:
    """What one fetch may cost. Seconds of clock time; `depth` counts links from the root."""

    bytes: int
    blocks: int
    depth: int
    first_block_seconds: float
    idle_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole DAG, walked: multihash and size of every unique block, in walk order."""

    blocks: dict[Multihash, int]

    @property
    def bytes(self) -> int:
        return sum(self.blocks.values())


class FetchFailed(Exception):
    """Why a DAG could not be had; the story answers it by its kind. `blocks`: those held so far."""

    def __init__(self, message: str, blocks: dict[Multihash, int] | None = None) -> None:
        super().__init__(message)
        self.blocks = blocks or {}


class NotFound(FetchFailed):
    """Nobody reachable gave the first block in time."""


class Stalled(FetchFailed):
    """Blocks came, then stopped."""


class OverBudget(FetchFailed):
    """Says which budget, and by how much."""


class NoRoom(FetchFailed):
    """The disk was full before all had come."""


class Unreadable(FetchFailed):
    """A codec or hash that we don't read, or a block that is not what its codec says."""


class Fetcher(Protocol):
    async def fetch(
        self,
        root: Cid,
        *,
        peers: Sequence[PeerId],
        origins: Sequence[str],
        budget: Budget,
        progress: Callable[[int, int], Awaitable[None]],
        is_over: Callable[[], bool] = lambda: False,
    ) -> Fetched:
        """The DAG under `root`, into the same Blocks that the story reads; what is there already is not asked for.

        `peers`: who asked, to be asked first; `origins`: multiaddrs as dial hints. `progress(blocks, bytes)` is
        awaited now and then. `is_over()` is asked every second: True ends the fetch as its deadline for the next block
        does. Raises a FetchFailed; what else Blocks raises passes through.
        """


class Announcer(Protocol):
    async def say(self, message: Message) -> None:
        """Broadcast on the content topic, paced. Never blocks for long, never raises: gossip is lossy anyway."""


# ---------------------------------------------------------------- the chain


@dataclass(frozen=True, slots=True)
class NameOpAt:
    """A NameOp in a block of our best chain; every byte of it was checked against the verified merkle root."""

    txid: Txid
    position: int  # of the transaction in the block
    vout: int
    amount: int  # swartz in the name output
    op: NameOp


@dataclass(frozen=True, slots=True)
class BlockOfNames:
    height: int
    hash: str
    time: datetime
    ops: tuple[NameOpAt, ...]


class Chain(Protocol):
    """Our own verified headers, and what servers show of it."""

    async def tip(self) -> Tip | None:
        """None until our verified headers have reached a server's tip, once in this run."""

    async def is_seen(self) -> bool:
        """Whether a payment that is made now would be noticed soon: while it is not, nothing may be sold."""

    async def is_read(self) -> bool:
        """Whether every payment that servers show, up to the chain's tip, has been told once in this run: before that
        our books may be behind, and nothing may be freed."""

    async def has_block(self, height: int, block_hash: str) -> bool:
        """Whether our chain has that block. One below the first header that we hold counts as in it."""

    async def watch(self, scripts: Collection[Script]) -> None:
        """Adds payment scripts to those watched."""

    async def name_ops(self, height: int) -> BlockOfNames | None:
        """None where our chain has no such block (yet, or any more). Raises Trouble when no server answers."""


class ChainListener(Protocol):
    """What the chain's watcher calls; the lifecycle is one. Nothing said here is lost by being said twice."""

    async def payment_seen(self, sighting: Sighting) -> None: ...

    async def payment_gone(self, txid: Txid) -> None:
        """Unproven, and no server that showed it shows it now. Never because a server is merely away."""

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        """`fork_height`: the lowest height whose block was replaced, in a reorg."""


# ---------------------------------------------------------------- the name index


class NameIndex(Protocol):
    """The NameOps of our chain's blocks, from the first start's tip up, without a gap."""

    async def next_height(self) -> int | None:
        """The block to index next; None before the first start."""

    async def hash_at(self, height: int) -> str | None:
        """The hash of the block that was indexed at that height."""

    async def add(self, height: int, hash: str, rows: Sequence[NameRow]) -> None:
        """One block, whole: its rows, all of the block's time, and `next_height` one more. ValueError, and nothing
        stored, for any height but `next_height`."""

    async def resume_from(self, height: int) -> None:
        """Forgets the blocks from that height up, and indexes it next."""

    async def find(self, wanted: NameFilter, times: range | None, offset: int, limit: int) -> Sequence[NameRow]:
        """A page of the rows that `NameRow.matches` selects, with a block time (seconds) in `times`; None is any.

        Order: (height, position in the block) descending. Raises Trouble.
        """

    async def note_metadata(self, root: Root, has_images: bool) -> None:
        """What the content under that root turned out to be; the filter `collections` asks for it."""
