"""The order of fetches: an asker with a thousand CIDs does not delay an asker with one.

Places are shared by site first (`domain/site.py`), there by address, at one address by connection, over one connection
by the peer that signed: new peer ids cost nothing (`domain.pin.Share`). The next place goes to the share with the
fewest fetches running, among equals to the one that was served longest ago, then to the request that has waited
longest. No share has more than half of all places. A request with several askers is served as soon as one of them has
a turn.

All paid content that is not here counts as one share (PAID_FOR), whoever else asks for it. Among equals this share is
first, for new peer ids cost nothing.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.pin import Request, Share, parts_of
from pinning_worker.domain.site import Part, lead

LOOK_AHEAD = 1_024  # requests of the queue that one choice looks at
MOST_SERVED = 4_000  # shares and their parts whose last turn is remembered

NOBODY = Share("")
"""The share of requests without an asker or a payment: a quote whose blocks were lost."""

PAID_FOR = Share("paid for")
"""The share of all paid requests."""


def shares_of(request: Request) -> list[Share]:
    """The shares of all askers of a request; it may count for any of them."""
    return list(dict.fromkeys(asker.share for asker in request.askers)) or [NOBODY]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Waiting requests, the longest first: the paid ones, and the others."""

    paid: Sequence[Request]
    asked: Sequence[Request]

    def without(self, roots: Container[Root]) -> Waiting:
        return Waiting(
            [request for request in self.paid if request.root not in roots],
            [request for request in self.asked if request.root not in roots],
        )

    def roots(self) -> Iterator[Root]:
        for request in (*self.paid, *self.asked):
            yield request.root

    def with_shares(self) -> Iterator[tuple[Request, list[Share]]]:
        for request in self.paid:
            yield request, [PAID_FOR]
        for request in self.asked:
            yield request, shares_of(request)


@dataclass(slots=True)
class Served:
    """The order in which shares were served. A forgotten share counts as never served; so does PAID_FOR always."""

    _turns: OrderedDict[Part, int] = field(default_factory=OrderedDict)
    _count: int = 0

    def note(self, share: Share) -> None:
        if share == PAID_FOR:
            return
        self._count += 1
        for part in parts_of(share):
            self._turns[part] = self._count
            self._turns.move_to_end(part)
        while len(self._turns) > MOST_SERVED:
            self._turns.popitem(last=False)

    def last(self, part: Part) -> int:
        """The turn in which the part was last served; 0: never."""
        return self._turns.get(part, 0)


@dataclass(slots=True)
class Load:
    """The number of fetches that run for each share, and for each part of one."""

    served: Served
    most: int  # for one share
    _busy: Counter[Part] = field(default_factory=Counter)

    def add(self, share: Share, fetches: int = 1) -> None:
        for part in parts_of(share):
            self._busy[part] += fetches

    def has_its_most(self, share: Share) -> bool:
        return any(self._busy[part] >= self.most for part in parts_of(share))

    def turn(self, share: Share) -> tuple[tuple[int, int], ...]:
        """The key of the order: the lowest has the next turn."""
        return tuple((self._busy[part], self.served.last(part)) for part in parts_of(share))

    def lead(self, share: Share, over: Share) -> int:
        """How many more fetches run for `share` than for `over`, at the first part in which the two differ."""
        return lead(self._busy, parts_of(share), parts_of(over))


def load_of(running: Iterable[Share], places: int, served: Served) -> Load:
    load = Load(served, max(1, places // 2))
    for share in running:
        load.add(share)
    return load


def fair_choice(
    waiting: Waiting, running: Mapping[Root, Share], places: int, served: Served
) -> list[tuple[Request, Share]]:
    """The requests to begin now, each with the share that it counts for. `waiting` may include running ones; `running`:
    the share of each root that is being fetched; `places`: the most fetches in all, busy ones included."""
    load = load_of(running.values(), places, served)
    queues: dict[Share, list[Request]] = {}
    for request, shares in waiting.without(running).with_shares():
        for share in shares:
            queues.setdefault(share, []).append(request)
    chosen: dict[Root, tuple[Request, Share]] = {}
    while len(running) + len(chosen) < places:
        ready = [share for share, queue in queues.items() if queue and not load.has_its_most(share)]
        if not ready:
            break
        share = min(ready, key=load.turn)  # the first of equals: PAID_FOR, then the share of the longest waiting
        request = queues[share].pop(0)
        if request.root not in chosen:
            chosen[request.root] = (request, share)
            load.add(share)
    return list(chosen.values())
