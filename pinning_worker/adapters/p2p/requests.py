"""From the content topic to the stories: what is heard is read, limited by its origin and in all, and handed on.

Only requests are handed on; the rest is counted by kind and never answered (two workers on one topic stay silent to
each other). Each origin has a budget of requests a minute: over it, it is told BUSY once in that minute, then nothing,
so that a flood of questions is no flood of answers. Several readers work side by side, so that one slow answer (a
LIST that scans) keeps nobody's NEW-CID waiting.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from pinning_worker.adapters.p2p.intake import Heard, Intake
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.requests import Ask, BadAsk, Ignored, ListRequest, parse
from pinning_worker.ports import Trouble

log = structlog.get_logger()

READERS = 4
MINUTE = 60.0
MOST_ORIGINS = 10_000


@dataclass(slots=True)
class OriginBudget:
    """Requests a minute for each origin, and for all together; the least recently heard of many origins is forgotten.
    What is over an origin's own budget is not charged to all."""

    per_minute: int
    in_all: int = 1_000_000
    _spent: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)
    _all: tuple[float, int] = (0.0, 0)

    def all_spent(self, now: float) -> bool:
        """Counts a request that is within its origin's budget. True: too many of all origins in this minute."""
        since, count = self._all if now - self._all[0] < MINUTE else (now, 0)
        self._all = (since, count + 1)
        return count >= self.in_all

    def spend(self, origin: str, now: float) -> int:
        """How far over its budget this request is; 0 or less: within it."""
        since, count = self._spent.pop(origin, (now, 0))
        if now - since >= MINUTE:
            since, count = now, 0
        self._spent[origin] = (since, count + 1)
        if len(self._spent) > MOST_ORIGINS:
            self._spent.popitem(last=False)
        return count + 1 - self.per_minute


@dataclass(slots=True)
class RequestReader:
    """`asked(ask, origin)`, `ill_asked(bad)` and `listed(request)` are the stories' doors."""

    intake: Intake
    budget: OriginBudget
    asked: Callable[[Ask, str], Awaitable[None]]
    ill_asked: Callable[[BadAsk], Awaitable[None]]
    listed: Callable[[ListRequest], Awaitable[None]]
    ignored: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(READERS):
                nursery.start_soon(self._read)

    async def _read(self) -> None:
        async for heard in self.intake:
            try:
                await self.take(heard)
            except Trouble as trouble:
                log.error("request dropped", origin=heard.origin, reason=str(trouble))

    async def take(self, heard: Heard) -> None:
        request = parse(heard.data)
        if isinstance(request, Ignored):
            self.ignored[request.kind] += 1
            return
        over = self.budget.spend(heard.origin, trio.current_time())
        if over > 0:
            self.ignored["over-budget"] += 1
            if over == 1:
                log.warning("too many requests", origin=heard.origin, per_minute=self.budget.per_minute)
                if isinstance(request, Ask):
                    busy = "too many requests of yours in this minute"
                    await self.ill_asked(BadAsk(request.text, request.id, ErrorCode.BUSY, busy))
            return
        if self.budget.all_spent(trio.current_time()):
            self.ignored["over-all-budgets"] += 1
            return
        match request:
            case Ask():
                await self.asked(request, heard.origin)
            case BadAsk():
                await self.ill_asked(request)
            case ListRequest():
                await self.listed(request)
