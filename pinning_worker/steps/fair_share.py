"""Whose request is fetched next: who asks for a thousand CIDs delays nobody who asks for one.

Places are shared by address first, at one address by connection, over one connection by the peer that signed: peers are
made up for nothing (`domain.pin.Share`). The next place goes to the share with the fewest fetches running, among
equals to the one that was served longest ago, then to the request that has waited longest. No share has more than half
of all places. A request that several asked for is served as soon as one of them has a turn.

Retries of what was paid for (nobody waits for an answer) share in the same way, as if one peer had asked.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pinning_worker.domain.pin import Request, Share, parts_of

LOOK_AHEAD = 1_024  # requests of the queue that one choice looks at
MOST_SERVED = 3_000  # shares and their parts, of which is known when they were served

PAID_FOR: Share = ("", "", "")
"""The share of a retry of what was paid for."""

Part = tuple[str, ...]


def shares_of(request: Request) -> list[Share]:
    """All shares that a request may count for."""
    return list(dict.fromkeys(asker.share for asker in request.askers)) or [PAID_FOR]


@dataclass(slots=True)
class Served:
    """In which order shares were served. Who is forgotten is as one that never was."""

    _turns: OrderedDict[Part, int] = field(default_factory=OrderedDict)
    _count: int = 0

    def note(self, share: Share) -> None:
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
    waiting: Iterable[Request], running: Mapping[bytes, Share], places: int, served: Served
) -> list[tuple[Request, Share]]:
    """The requests to begin now, and for whom. `waiting`: the longest waiting first, those running may be among them;
    `running`: the share of each root that is being fetched; `places`: for fetches in all, busy ones included."""
    load = load_of(running.values(), places, served)
    queues: dict[Share, list[Request]] = {}
    for request in waiting:
        if request.root not in running:
            for share in shares_of(request):
                queues.setdefault(share, []).append(request)
    chosen: dict[bytes, tuple[Request, Share]] = {}
    while len(running) + len(chosen) < places:
        ready = [share for share, queue in queues.items() if queue and not load.has_its_most(share)]
        if not ready:
            break
        share = min(ready, key=load.turn)  # the first of equals: `queues` begin with the longest waiting
        request = queues[share].pop(0)
        if request.root not in chosen:
            chosen[request.root] = (request, share)
            load.add(share)
    return list(chosen.values())
