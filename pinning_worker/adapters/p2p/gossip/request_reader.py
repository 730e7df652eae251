"""From the content topic to the stories: what is heard is read, limited by origin, connection, address, in all, and
handed on.

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

from pinning_worker.adapters.p2p.bounds.intake import Heard, Intake
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.topic.requests import Ask, BadAsk, Ignored, ListRequest, parse
from pinning_worker.ports import Trouble

log = structlog.get_logger()

READERS = 4
MINUTE = 60.0
MOST_ORIGINS = 10_000
CONNECTION_SHARE = 4  # one connection brings a quarter of all at most: origins are made up for nothing
LITTLE_SHARE = 1_000  # and a thousandth of all whatever others bring, from its address too


class Minute:
    """How often each key came in its current minute; the least recently heard of many keys is forgotten."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def so_far(self, key: str, now: float) -> int:
        since, count = self._counts.get(key, (now, 0))
        return count if now - since < MINUTE else 0

    def count(self, key: str, now: float) -> int:
        """Counts one more, and returns how many there were, this one among them."""
        since, count = self._counts.pop(key, (now, 0))
        if now - since >= MINUTE:
            since, count = now, 0
        self._counts[key] = (since, count + 1)
        if len(self._counts) > MOST_ORIGINS:
            self._counts.popitem(last=False)
        return count + 1


@dataclass(slots=True)
class RequestBudget:
    """Requests a minute of each origin, of what one connection brings, of one address, and of all together. What is
    over the origin's is charged to nobody else, what is over the connection's or the address's not to all.

    An address may bring as many as it leaves to all others: one alone brings half of all, two a third each, and a
    newcomer always finds something left. Of a connection whose address is not known, it is its own. A little is always
    left to each connection: who shares an address with those who use it up still hears an answer.
    """

    per_origin: int
    in_all: int = 1_000_000
    _origins: Minute = field(default_factory=Minute)
    _connections: Minute = field(default_factory=Minute)
    _addresses: Minute = field(default_factory=Minute)
    _all: Minute = field(default_factory=Minute)

    def over_its_own(self, origin: str, now: float) -> int:
        """Counts a request. How far over its origin's budget it is; 0 or less: within it."""
        return self._origins.count(origin, now) - self.per_origin

    def over_all(self, forwarder: str, address: str, now: float) -> bool:
        """Counts a request that is within its origin's budget. True: too many came through that peer, from that
        address, or in all."""
        brought = self._connections.count(forwarder, now)
        if brought > max(1, self.in_all // CONNECTION_SHARE):
            return True
        is_little = brought <= self.in_all // LITTLE_SHARE
        if self._addresses.count(address or forwarder, now) > self.in_all - self._all.so_far("", now) and not is_little:
            return True
        return self._all.count("", now) > self.in_all and not is_little


@dataclass(slots=True)
class RequestReader:
    """`asked(ask, origin, forwarder, address)`, `ill_asked(bad)` and `listed(request)` are the stories' doors."""

    intake: Intake
    budget: RequestBudget
    asked: Callable[[Ask, str, str, str], Awaitable[None]]
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
                log.error("request.dropped", origin=heard.origin, reason=str(trouble))
            except Exception as fault:
                log.error("request.crashed", origin=heard.origin, fault=repr(fault), exc_info=fault)

    async def take(self, heard: Heard) -> None:
        request = parse(heard.data)
        if isinstance(request, Ignored):
            self.ignored[request.kind] += 1
            return
        over = self.budget.over_its_own(heard.origin, trio.current_time())
        if over > 0:
            self.ignored["over-budget"] += 1
            if over == 1:
                log.warning("requests.too_many", origin=heard.origin, per_minute=self.budget.per_origin)
                if isinstance(request, Ask):
                    busy = "too many requests of yours in this minute"
                    await self.ill_asked(BadAsk(request.text, request.id, ErrorCode.BUSY, busy))
            return
        if self.budget.over_all(heard.forwarder, heard.address, trio.current_time()):
            self.ignored["over-all-budgets"] += 1
            return
        match request:
            case Ask():
                await self.asked(request, heard.origin, heard.forwarder, heard.address)
            case BadAsk():
                await self.ill_asked(request)
            case ListRequest():
                await self.listed(request)
