"""From the content topic to the stories: reads messages, limits them by origin, connection, address and in all.

Only requests are handed on; the rest is counted by kind and never answered (two workers on one topic stay silent to
each other). Each origin has a budget of requests a minute: over it, it gets one BUSY and one error for LIST in that
minute, then nothing, so that a flood of questions is no flood of answers. Several readers work side by side, so that
one slow answer (a LIST that scans) does not delay a NEW-CID.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from pinning_worker.adapters.p2p.bounds.intake import Heard
from pinning_worker.adapters.p2p.bounds.request_budget import RequestBudget
from pinning_worker.adapters.p2p.gossip.intake import Intake
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.topic.listing import BadList
from pinning_worker.domain.topic.requests import Ask, BadAsk, Ignored, ListRequest, parse
from pinning_worker.ports.world import Trouble

log = structlog.get_logger()

READERS = 4
TOO_MANY = "too many requests of yours in this minute"


@dataclass(slots=True)
class RequestReader:
    """`asked(ask, origin, forwarder, address)`, `ill_asked(bad)` and `listed(request)` lead into the stories."""

    intake: Intake
    budget: RequestBudget
    asked: Callable[[Ask, PeerId, PeerId, str], Awaitable[None]]
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
        now = trio.current_time()
        over = self.budget.over_its_own(heard.origin, now)
        if over > 0:
            self.ignored["over-budget"] += 1
            if over == 1:
                log.warning(
                    "requests.too_many", origin=heard.origin, per_minute=self.budget.requests_per_peer_per_minute
                )
            await self._notify(request, heard, now)
            return
        if self.budget.over_all(heard.forwarder, heard.address, now):
            self.ignored["over-all-budgets"] += 1
            return
        match request:
            case Ask():
                await self.asked(request, heard.origin, heard.forwarder, heard.address)
            case BadAsk():
                await self.ill_asked(request)
            case ListRequest():
                await self.listed(request)

    async def _notify(self, request: Ask | BadAsk | ListRequest, heard: Heard, now: float) -> None:
        """Tells an origin that it is over its budget: once in its minute for NEW-CID, once for LIST. A notice counts
        like any answer, so that origins that somebody makes up get no more of them than of others."""
        kind = "LIST" if isinstance(request, ListRequest) else "NEW-CID"
        if not self.budget.needs_notice(heard.origin, kind, now):
            return
        if self.budget.over_all(heard.forwarder, heard.address, now):
            return
        seconds = self.budget.seconds_left(heard.origin, now)
        if isinstance(request, ListRequest):
            return await self.listed(ListRequest(BadList(f"{TOO_MANY}: ask again in {seconds} s")))
        await self.ill_asked(BadAsk(request.text, request.id, ErrorCode.BUSY, TOO_MANY, seconds))
