"""The queue: its limits, and the request that makes room when it is full.

A peer has `queue_size_per_peer` places, one connection half of the queue (or a peer's places, if they are more). When
all places are taken, a newcomer whose share has fewer than another takes the place of the newest request of the
greediest share. The books list the waiting requests, so a restart forgets no share. To read them costs more than a
NEW-CID, so memory has an up-to-date list. A refusal never rests on a list that is older than LIST_SECONDS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.pin import ACTIVE, Asker, Request, parts_of
from pinning_worker.domain.site import Part, lead
from pinning_worker.ports.books import Books
from pinning_worker.ports.world import Clock
from pinning_worker.steps.fair_share import shares_of
from pinning_worker.steps.terms import Terms
from pinning_worker.steps.turns import Turn

LIST_SECONDS = timedelta(seconds=0.25)
FULL = "the queue is full"
MADE_ROOM = "the queue is full, and others have less in it"


@dataclass(frozen=True, slots=True)
class Admission:
    """`refused`: the reason; `instead_of`: the request that makes room."""

    refused: str | None = None
    instead_of: Request | None = None


@dataclass(slots=True)
class Queue:
    books: Books
    clock: Clock
    terms: Terms
    turns: dict[Root, Turn] = field(default_factory=dict)  # of the fetches that run, by root
    leaving: dict[Root, Request] = field(default_factory=dict)  # they make room, and their askers have no answer yet
    _waiting: dict[Root, Request] = field(default_factory=dict)
    _read_at: datetime | None = None

    @property
    def fetched(self) -> Collection[Root]:
        """Roots whose fetch runs."""
        return self.turns.keys()

    async def admit(self, asker: Asker) -> Admission:
        admission = self._admit(asker) if self._read_at else Admission(FULL)
        if (admission.refused or admission.instead_of) and not self._is_fresh():
            await self._read()
            admission = self._admit(asker)
        if (leaves := admission.instead_of) is not None:
            del self._waiting[leaves.root]
            self.leaving[leaves.root] = leaves
        return admission

    def note(self, request: Request) -> None:
        """Updates the list with a request that was just stored."""
        if request.state in ACTIVE:
            self._waiting[request.root] = request
        else:
            self.leaves(request.root)

    def leaves(self, root: Root) -> None:
        self._waiting.pop(root, None)

    def _is_fresh(self) -> bool:
        age = self.clock.now() - self._read_at if self._read_at else None
        return age is not None and timedelta(0) <= age < LIST_SECONDS

    async def _read(self) -> None:
        found = await self.books.waiting(self.terms.queue_size + len(self.leaving), paid_for=False)
        self._waiting = {request.root: request for request in found if request.root not in self.leaving}
        self._read_at = self.clock.now()

    def _admit(self, asker: Asker) -> Admission:
        waiting = list(self._waiting.values())
        if why := refusal(asker, waiting, self.terms):
            return Admission(why)
        if len(waiting) < self.terms.queue_size:
            return Admission()
        greediest = makes_room(asker, waiting, self.fetched)
        return Admission(instead_of=greediest) if greediest is not None else Admission(FULL)


def refusal(asker: Asker, waiting: Sequence[Request], terms: Terms) -> str | None:
    """The reason to refuse it, however few others wait; None: there is a place."""
    if sum(any(asker.peer == a.peer for a in request.askers) for request in waiting) >= terms.queue_size_per_peer:
        return "too many requests of yours are waiting"
    connection, share = asker.share.connection, max(terms.queue_size // 2, terms.queue_size_per_peer)
    if sum(any(connection == a.share.connection for a in request.askers) for request in waiting) >= share:
        return "too many requests that came through the same peer as yours are waiting"
    return None


def makes_room(asker: Asker, waiting: Sequence[Request], fetched: Collection[Root]) -> Request | None:
    """The request that makes room in a full queue; None: no share has more than the newcomer's would have. `waiting`:
    the longest first; `fetched`: roots whose fetch runs; they stay."""
    counts = Counter(part for request in waiting for part in _parts(request))
    mine = parts_of(asker.share)

    def has_more(request: Request) -> bool:
        """Whether each of its askers has more than the newcomer will have, at the first part that differs."""
        return all(lead(counts, parts_of(share), over=mine) > 1 for share in shares_of(request))

    able = [request for request in waiting if request.askers and request.root not in fetched and has_more(request)]
    return max(
        reversed(able),
        key=lambda request: max([counts[part] for part in parts_of(share)] for share in shares_of(request)),
        default=None,
    )


def _parts(request: Request) -> set[Part]:
    return {part for share in shares_of(request) for part in parts_of(share)}
