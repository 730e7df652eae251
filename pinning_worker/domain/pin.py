"""The states of a request and of a pin: one literal table is the law, and the source of the drawing in the docs.

Two lanes share the table. A *request* is per CID: it fetches, measures and quotes, however many ask. A *pin* is per
(CID, name): it lives from the first sight of a payment until its term ends.

Rules that hold everywhere:
- An arrow that is not in the table cannot happen: `step` raises Forbidden, which is a bug of ours.
- Every row has the time of its next look (`due_at`, None: only when something happens) and a `version`: a step stores
  only if no other step was faster.
- A state that HOLDS keeps every block of the closure; blocks go only when nothing holds them any more.

The awkward cases, decided here rather than discovered:
- late:     the quote lapsed before the payment: judged like any other while the blocks can be fetched, else owed.
- short:    it covers no month and no term runs: SHORT; a later payment for the same (CID, name) adds to it.
- over:     the excess over the whole months that it covers is credit of the same (CID, name).
- reorged:  a settled payment lost its block: CREDIT, pinned at our risk until it is proven again or the reorg is
            buried so deep that it won't be; then SUSPENDED. A block after the notice of a rise may buy less: SHORT.
- owed:     paid, but the content cannot be fetched (or was refused, never quoted, or lost on disk): OWED, listed as a
            liability, tried again. Blocks lost under one name are lost under every name of that CID.
- vanished: seen in the mempool, then gone without a block: VANISHED; no promise depended on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.identities import NO_PEER, NameBytes, PeerId
from pinning_worker.domain.site import site_of


class State(Enum):
    # the request's lane
    REQUESTED = "requested"  # asked for; waits for a free place, or is being fetched quickly
    FETCHING = "fetching"  # takes longer; stays due: one without running work was interrupted by a crash
    QUOTED = "quoted"  # the whole closure is held, measured, quoted; due_at: when the last quote ends
    STALLED = "stalled"  # blocks came, then stopped: those that came wait in quarantine for the retry
    REFUSED = "refused"  # cannot be fetched, or not by us; nothing is held
    LAPSED = "lapsed"  # quoted once, unpaid in time; nothing is held for it
    # the pin's lane
    SEEN = "seen"  # a payment without enough confirmations; shown, not acted on
    SHORT = "short"  # confirmed, but covers no month
    CONFIRMED = "confirmed"  # bought and content held: to be pinned and audited now
    PINNED = "pinned"  # audited and announced
    EXPIRING = "expiring"  # the same, and the owner was reminded
    CREDIT = "credit"  # pinned, though a reorg took a payment back
    SUSPENDED = "suspended"  # ... and it was not proven again
    OWED = "owed"  # bought (or never quoted), content not held: a liability
    RELEASED = "released"  # the term is over, or the operator gave the money back
    VANISHED = "vanished"  # the payment left the mempool


class Event(Enum):
    ASKED = "asked"
    STARTED = "fetch started"
    MEASURED = "measured"
    INTERRUPTED = "blocks stopped coming"
    FAILED = "cannot be had"
    LAPSED = "quote ran out"
    DAMAGED = "blocks lost"
    SEEN = "payment seen"
    CAME_SHORT = "covers no month"
    BOUGHT = "bought, content held"
    OWES = "bought, content missing"
    AUDITED = "audited"
    REMINDED = "owner reminded"
    UNPROVEN = "reorg took it back"
    BURIED = "not proven again"
    ENDED = "term over"
    VANISHED = "left the mempool"
    CLOSED = "refunded or closed by the operator"


_S, _E = State, Event

TABLE: dict[tuple[State | None, Event], State] = {
    # request
    (None, _E.ASKED): _S.REQUESTED,
    (_S.STALLED, _E.ASKED): _S.REQUESTED,
    (_S.REFUSED, _E.ASKED): _S.REQUESTED,
    (_S.LAPSED, _E.ASKED): _S.REQUESTED,
    (_S.REQUESTED, _E.ASKED): _S.REQUESTED,
    (_S.FETCHING, _E.ASKED): _S.FETCHING,
    (_S.QUOTED, _E.ASKED): _S.QUOTED,
    (_S.REQUESTED, _E.STARTED): _S.FETCHING,
    (_S.REQUESTED, _E.MEASURED): _S.QUOTED,
    (_S.REQUESTED, _E.INTERRUPTED): _S.STALLED,
    (_S.REQUESTED, _E.FAILED): _S.REFUSED,
    (_S.FETCHING, _E.STARTED): _S.FETCHING,
    (_S.FETCHING, _E.MEASURED): _S.QUOTED,
    (_S.LAPSED, _E.MEASURED): _S.QUOTED,
    (_S.QUOTED, _E.MEASURED): _S.QUOTED,
    (_S.FETCHING, _E.INTERRUPTED): _S.STALLED,
    (_S.FETCHING, _E.FAILED): _S.REFUSED,
    (_S.STALLED, _E.LAPSED): _S.REFUSED,
    (_S.QUOTED, _E.LAPSED): _S.LAPSED,
    (_S.QUOTED, _E.DAMAGED): _S.REQUESTED,
    (_S.LAPSED, _E.DAMAGED): _S.REQUESTED,
    # pin: the first payment
    (None, _E.SEEN): _S.SEEN,
    (_S.SEEN, _E.VANISHED): _S.VANISHED,
    (_S.VANISHED, _E.SEEN): _S.SEEN,
    (_S.SEEN, _E.CAME_SHORT): _S.SHORT,
    (_S.SEEN, _E.BOUGHT): _S.CONFIRMED,
    (_S.SEEN, _E.OWES): _S.OWED,
    # more money
    (_S.SHORT, _E.CAME_SHORT): _S.SHORT,
    (_S.SHORT, _E.BOUGHT): _S.CONFIRMED,
    (_S.SHORT, _E.OWES): _S.OWED,
    (_S.RELEASED, _E.BOUGHT): _S.CONFIRMED,
    (_S.RELEASED, _E.OWES): _S.OWED,
    (_S.VANISHED, _E.CAME_SHORT): _S.SHORT,
    (_S.VANISHED, _E.BOUGHT): _S.CONFIRMED,
    (_S.VANISHED, _E.OWES): _S.OWED,
    (_S.CONFIRMED, _E.BOUGHT): _S.CONFIRMED,
    (_S.PINNED, _E.BOUGHT): _S.CONFIRMED,
    (_S.EXPIRING, _E.BOUGHT): _S.CONFIRMED,
    # keeping the promise
    (_S.CONFIRMED, _E.AUDITED): _S.PINNED,
    (_S.CONFIRMED, _E.OWES): _S.OWED,
    (_S.OWED, _E.OWES): _S.OWED,
    (_S.OWED, _E.BOUGHT): _S.CONFIRMED,
    (_S.OWED, _E.CAME_SHORT): _S.SHORT,
    (_S.PINNED, _E.OWES): _S.OWED,
    (_S.EXPIRING, _E.OWES): _S.OWED,
    (_S.CREDIT, _E.OWES): _S.OWED,
    (_S.PINNED, _E.REMINDED): _S.EXPIRING,
    (_S.EXPIRING, _E.REMINDED): _S.EXPIRING,
    (_S.SEEN, _E.ENDED): _S.RELEASED,  # in rebuilt books: a receipt says that the term was served to its end
    (_S.PINNED, _E.ENDED): _S.RELEASED,
    (_S.EXPIRING, _E.ENDED): _S.RELEASED,
    (_S.CREDIT, _E.ENDED): _S.RELEASED,
    # the operator gave all of its money back, or gave it up
    (_S.OWED, _E.CLOSED): _S.RELEASED,
    (_S.SHORT, _E.CLOSED): _S.RELEASED,
    # reorgs
    (_S.SHORT, _E.UNPROVEN): _S.SEEN,
    (_S.OWED, _E.UNPROVEN): _S.SEEN,
    (_S.SHORT, _E.VANISHED): _S.VANISHED,
    (_S.OWED, _E.VANISHED): _S.VANISHED,
    (_S.CONFIRMED, _E.UNPROVEN): _S.CREDIT,
    (_S.PINNED, _E.UNPROVEN): _S.CREDIT,
    (_S.EXPIRING, _E.UNPROVEN): _S.CREDIT,
    (_S.CONFIRMED, _E.CAME_SHORT): _S.SHORT,
    (_S.PINNED, _E.CAME_SHORT): _S.SHORT,
    (_S.EXPIRING, _E.CAME_SHORT): _S.SHORT,
    (_S.CREDIT, _E.CAME_SHORT): _S.SHORT,
    (_S.CREDIT, _E.BOUGHT): _S.CONFIRMED,
    (_S.CREDIT, _E.BURIED): _S.SUSPENDED,
    (_S.SUSPENDED, _E.BOUGHT): _S.CONFIRMED,
    (_S.SUSPENDED, _E.OWES): _S.OWED,
}

ACTIVE = frozenset({_S.REQUESTED, _S.FETCHING})
"""States of a request that takes a place in the queue."""

LIVE = frozenset({_S.CONFIRMED, _S.PINNED, _S.EXPIRING, _S.CREDIT})
"""States of a pin whose whole closure is here, whatever becomes of the request."""

STANDING = frozenset({_S.PINNED, _S.EXPIRING, _S.CREDIT})
"""States of a pin that answers a repeated NEW-CID."""

REQUEST_HOLDS = frozenset({_S.FETCHING, _S.QUOTED, _S.REQUESTED})
"""States of a request that keeps its blocks."""


class Forbidden(RuntimeError):
    """An event that the table does not allow: a bug of ours, never an outcome."""


def step(state: State | None, event: Event) -> State:
    """The next state. Raises Forbidden if the table has no such arrow."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise Forbidden(f"{event.value!r} cannot happen to {state.value if state else 'nothing'!r}") from None


def allows(state: State | None, event: Event) -> bool:
    return (state, event) in TABLE


class Share(NamedTuple):
    """The parts of an asker when places are shared. A new peer id costs nothing, a connection costs a handshake, an
    address costs money: so they are compared in this order."""

    address: str
    connection: PeerId = NO_PEER
    peer: PeerId = NO_PEER

    @property
    def route(self) -> tuple[str, str]:
        """The connection at its address, whichever peers sign over it."""
        return (self.address, self.connection)


@dataclass(frozen=True, slots=True)
class Asker:
    """One asker, as the answer must name it. `text` is the CID exactly as written; `peer` the message's origin;
    `through` the peer that handed it to us, at `address` (empty: each connection counts as an address)."""

    text: str
    id: str | None
    months: int
    peer: PeerId
    origins: tuple[str, ...] = ()
    through: PeerId = NO_PEER
    address: str = ""

    @property
    def share(self) -> Share:
        connection = self.through or self.peer
        return Share(self.address or connection, connection, self.peer)

    @property
    def words(self) -> tuple[str, str | None, int]:
        """The parts that an answer repeats: one answer serves all askers with the same words."""
        return (self.text, self.id, self.months)


MOST_ASKERS = 20


def with_asker(askers: Iterable[Asker], asker: Asker, most: int) -> tuple[Asker, ...]:
    """The askers, the newest last, with one entry for each (words, share). Beyond `most` it drops the oldest entry of
    the address, there of the connection, there of the peer, with the most entries: a frequent asker drops no other."""
    kept = [a for a in askers if (a.words, a.share) != (asker.words, asker.share)]
    kept.append(asker)
    while len(kept) > most:
        counts = Counter(part for a in kept for part in parts_of(a.share))
        kept.remove(max(kept, key=lambda a: [counts[part] for part in parts_of(a.share)]))
    return tuple(kept)


def parts_of(share: Share) -> tuple[tuple[str, ...], ...]:
    """The site, address, connection and peer: each with the parts before it, the site under a name of its own."""
    return ("site", site_of(share.address), "", ""), (share.address,), share.route, share


def in_other_words(askers: Iterable[Asker]) -> list[Asker]:
    """One asker for each different words: askers with the same words share an answer."""
    return list({asker.words: asker for asker in askers}.values())


@dataclass(frozen=True, slots=True)
class Request:
    """One per CID. `askers` wait for the answer; the measures stand once the closure is held."""

    root: Root
    state: State
    due_at: datetime | None
    version: int = 0
    askers: tuple[Asker, ...] = ()
    sizes: Sizes | None = None  # None: not wholly held (any more)
    blocks: int = 0
    references: tuple[Root, ...] = ()  # keys of the CIDs that its metadata names (images)
    foreign: tuple[str, ...] = ()
    file_name: str = ""
    failure: ErrorCode | None = None
    reason: str = ""  # of the last failure, for the operator
    attempts: int = 0  # failed fetches since the last quote
    staged_for: tuple[Share, ...] = ()  # the shares of its askers when measured: it uses their room until paid

    def moved(self, event: Event, due_at: datetime | None, **changes: object) -> Request:
        """The same request after an event. Raises Forbidden."""
        return replace(self, state=step(self.state, event), due_at=due_at, **changes)  # type: ignore[arg-type]  # replace() is checked at run time

    def with_asker(self, asker: Asker) -> Request:
        return replace(self, askers=with_asker(self.askers, asker, MOST_ASKERS))


@dataclass(frozen=True, slots=True)
class PinKey:
    root: Root
    name: NameBytes


@dataclass(frozen=True, slots=True)
class Pin:
    """One per (CID, name). `starts` and `ends` are the term that its proven payments bought together."""

    root: Root
    name: NameBytes
    cid_text: str  # as quoted, else as the NameOp spells it
    state: State
    due_at: datetime | None
    version: int = 0
    starts: datetime | None = None
    ends: datetime | None = None
    reminded: int | None = None  # the last reminder, sent or past when it was pinned; in days before the end
    unproven_at: int | None = None  # height of our tip when a reorg took a payment back
    reason: str = ""  # why it is owed, short or suspended
    attempts: int = 0

    @property
    def key(self) -> PinKey:
        return PinKey(self.root, self.name)

    @property
    def keeps(self) -> bool:
        """Whether its blocks stay on disk: also while a paid term waits for missing ones."""
        return self.state in LIVE or (self.state is State.OWED and self.ends is not None and self.due_at is not None)

    @property
    def was_bought(self) -> bool:
        """Whether money ever bought a term: a short or unproven payment makes no block a paid one."""
        return self.ends is not None

    def moved(self, event: Event, due_at: datetime | None, **changes: object) -> Pin:
        """The same pin after an event. Raises Forbidden."""
        return replace(self, state=step(self.state, event), due_at=due_at, **changes)  # type: ignore[arg-type]  # replace() is checked at run time


REMINDER_DAYS = (30, 7, 1)


def next_reminder(ends: datetime, now: datetime, reminded: int | None) -> tuple[int, datetime] | None:
    """(days before the end, time) of the next reminder not yet sent, or None when only the end remains.

    Of several missed ones only the last is sent.
    """
    still = [(days, ends - timedelta(days=days)) for days in REMINDER_DAYS if reminded is None or days < reminded]
    passed = [entry for entry in still if entry[1] <= now]
    if passed:
        return passed[-1]
    return still[0] if still else None


def reminders_over(ends: datetime, now: datetime, reminded: int | None) -> int | None:
    """`reminded` for a pin made now: ADDED-CID has just told the owner the end date, so reminders of earlier dates are
    skipped. (A month may be shorter than 30 days.)"""
    reminder = next_reminder(ends, now, reminded)
    return reminder[0] if reminder and reminder[1] <= now else reminded


def next_look(pin: Pin, now: datetime) -> datetime | None:
    """The time at which a pin with a term is due again: for its next reminder, or at its end."""
    assert pin.ends is not None
    reminder = next_reminder(pin.ends, now, pin.reminded)
    return reminder[1] if reminder else pin.ends


def asked_again(request: Request | None, root: Root, now: datetime) -> Request:
    """The request of a root, due to be fetched. One that already waits keeps its place in the queue."""
    if request is None:
        return Request(root, step(None, Event.ASKED), now)
    return request.moved(Event.ASKED, request.due_at if request.state in ACTIVE else now)


def drawing(first: Event) -> str:
    """The lane that begins with `first`, as a Mermaid state diagram, for docs/states.md (`make states`)."""
    lane: set[State | None] = {TABLE[None, first]}
    while more := {after for (state, _), after in TABLE.items() if state in lane} - lane:
        lane |= more
    arrows: dict[tuple[str, str], list[str]] = {("[*]", TABLE[None, first].value): [first.value]}
    for (state, event), after in TABLE.items():
        if state is not None and state in lane:
            arrows.setdefault((state.value, after.value), []).append(event.value)
    drawn = (f"    {state} --> {after}: {' / '.join(events)}\n" for (state, after), events in arrows.items())
    return "stateDiagram-v2\n" + "".join(drawn)
