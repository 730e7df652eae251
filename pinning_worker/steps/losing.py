"""Losing: missing or broken blocks of a root are owed to every name that paid for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from pinning_worker.domain.content.cid import Root, cid_text
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import LIVE, Event, State
from pinning_worker.ports.books import Change
from pinning_worker.steps.bell import Bell
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.shelf import Shelf
from pinning_worker.steps.whole_roots import WholeRoots

log = structlog.get_logger()


@dataclass(slots=True)
class Losing(Chapter):
    shelf: Shelf
    whole: WholeRoots
    bell: Bell

    async def damaged(self, root: Root, bad: Collection[Multihash]) -> None:
        """Puts missing or broken blocks of a root aside, and has them fetched again. Until they are back we owe them to
        every name of every root that holds them. A quote of an incomplete closure is void."""
        await self.shelf.put_aside(tuple(bad))
        holders = set[Root]().union(*(await self.books.holders(bad)).values())
        for each in (root, *sorted(holders - {root})):
            self.whole.note_damaged(each)
            await self._owe(each, bad)

    async def _owe(self, root: Root, bad: Collection[Multihash]) -> None:
        for _ in attempts("damaged"):
            known, now = await self.books.dossier(root, 0), self.clock.now()
            live = [pin for pin in known.pins if pin.state in LIVE]
            if not live and (known.request is None or known.request.sizes is None):
                return
            log.error("audit.failed", cid=cid_text(root), bad_blocks=len(bad), owed_to=len(live))
            owed = tuple(each.moved(Event.OWES, now, reason="blocks were lost or broken on disk") for each in live)
            request, release = known.request, tuple[Root, ...]()
            if request is not None and request.state in (State.QUOTED, State.LAPSED):
                if live or await self._has_places():
                    request = request.moved(Event.DAMAGED, now, sizes=None)  # fetch it again: a payment may still come
                else:  # a payer is then owed it
                    request, release = request.moved(Event.LAPSED, None, sizes=None), (root,)
            change = Change(requests=(request,) if request else (), pins=owed, release=release)
            if await self.shelf.store_and_free(change, was_paid=False):
                for each in owed:
                    # A pin that was on credit is no debt, for nothing is proven: the judge decides.
                    self.bell.nudge(each.key)
                return self.bell.ring()

    async def _has_places(self) -> bool:
        """Whether less than half of the queue is taken. Requests without asker and payment get no more than half: one
        block may be part of thousands of quotes."""
        return await self.books.active_requests(paid_for=False) < self.terms.queue_size // 2
