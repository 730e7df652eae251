"""Whose request is fetched next: who asks for a thousand CIDs delays nobody who asks for one.

Places are shared by site first (`domain/site.py`), there by address, at one address by connection, over one connection
by the peer that signed: peers are made up for nothing (`domain.pin.Share`). The next place goes to the share with the
fewest fetches running, among equals to the one that was served longest ago, then to the request that has waited
longest. No share has more than half of all places. A request that several asked for is served as soon as one of them
has a turn.

What is paid for and not here shares in the same way, as if one had asked for all of it, whoever else asks for it; but
among equals it is first, for peers are made up for nothing.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.pin import Request, Share, parts_of

LOOK_AHEAD = 1_024  # requests of the queue that one choice looks at
MOST_SERVED = 4_000  # shares and their parts, of which is known when they were served

NOBODY: Share = ("", "", "")
"""The share of what nobody waits for or has paid for: a quote whose blocks were lost."""

PAID_FOR: Share = ("paid for", "", "")
"""The share of all that somebody has paid for."""

Part = tuple[str, ...]


def shares_of(request: Request) -> list[Share]:
    """All shares that a request may count for, of those who wait for its answer."""
    return list(dict.fromkeys(asker.share for asker in request.askers)) or [NOBODY]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Requests that wait, the longest first: those that somebody has paid for, and the others."""

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
    """In which order shares were served. Who is forgotten is as one that never was; so is PAID_FOR always."""

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
        """0: never."""
        return self._turns.get(part, 0)


@dataclass(slots=True)
class Load:
    """How many fetches run for each share, and for each part of one."""

    served: Served
    most: int  # for one share
    _busy: Counter[Part] = field(default_factory=Counter)

    def add(self, share: Share, fetches: int = 1) -> None:
        for part in parts_of(share):
            self._busy[part] += fetches

    def has_its_most(self, share: Share) -> bool:
        return any(self._busy[part] >= self.most for part in parts_of(share))

    def turn(self, share: Share) -> tuple[tuple[int, int], ...]:
        """The lowest has the next turn."""
        return tuple((self._busy[part], self.served.last(part)) for part in parts_of(share))

    def lead(self, share: Share, over: Share) -> int:
        """How many fetches more run for it than for the other, where the two first differ."""
        pairs = zip(parts_of(share), parts_of(over), strict=True)
        return next((self._busy[one] - self._busy[two] for one, two in pairs if one != two), 0)


def load_of(running: Iterable[Share], places: int, served: Served) -> Load:
    load = Load(served, max(1, places // 2))
    for share in running:
        load.add(share)
    return load


def fair_choice(
    waiting: Waiting, running: Mapping[Root, Share], places: int, served: Served
) -> list[tuple[Request, Share]]:
    """The requests to begin now, and for whom. `waiting`: those running may be among them; `running`: the share of each
    root that is being fetched; `places`: for fetches in all, busy ones included."""
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
        share = min(ready, key=load.turn)  # the first of equals: PAID_FOR, then that of the longest waiting
        request = queues[share].pop(0)
        if request.root not in chosen:
            chosen[request.root] = (request, share)
            load.add(share)
    return list(chosen.values())
