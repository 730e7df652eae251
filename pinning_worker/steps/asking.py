"""Asking: NEW-CID. The standing answer if there is one, else a place in the queue.

All askers of one CID share one place. A full queue makes room for a newcomer whose share is smaller (`queue.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import structlog

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.money.pricing import months_to_sell
from pinning_worker.domain.pin import ACTIVE, Asker, Request, State, asked_again
from pinning_worker.domain.topic.messages import Error
from pinning_worker.domain.topic.requests import Ask, BadAsk
from pinning_worker.ports.books import Change, Dossier
from pinning_worker.steps.answering import Answering, Served
from pinning_worker.steps.bell import Bell
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.crashes import Crashes
from pinning_worker.steps.ending import Ending
from pinning_worker.steps.fetching import Fetching
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.queue import Queue

log = structlog.get_logger()

QUEUE_AGAIN_SECONDS = 30


@dataclass(slots=True)
class Asking(Chapter):
    answering: Answering
    fetching: Fetching
    ending: Ending
    crashes: Crashes
    queue: Queue
    bell: Bell

    async def asked(self, ask: Ask, peer: PeerId, through: PeerId, address: str = "") -> None:
        """A NEW-CID: the standing answer if there is one, else a place in the queue, shared by all askers of the CID.
        `peer` signed it, `through` handed it to us (peer ids, often the same) from `address`."""
        months = months_to_sell(ask.months, self.terms.most_months)
        asker = Asker(ask.text, ask.id, months, peer, ask.origins, through, address)
        if self.terms.denied(ask.cid) or self.terms.blocked(ask.cid.key):
            return await self.answering.refuse_denied([asker])
        if self.crashes.is_aside(ask.cid.key):
            return await self.answering.refuse_crashing([asker])
        if not await self.chain.is_seen():
            return await self.answering.refuse_unseen([asker])
        await self.crashes.guard("ask", ask.cid.key, partial(self.take_up, ask.cid.key, asker))

    async def take_up(self, root: Root, asker: Asker) -> None:
        """Answers or queues a request that passed the checks of `asked`."""
        for _ in attempts("asked"):
            known = await self.books.dossier(root, 1)
            request = known.request
            if await self._stands(root, known):
                match await self.answering.repeat_limited(root, asker):
                    case Served.NOW:
                        return None
                    case Served.LATER:
                        return self.bell.ring()
                    case Served.NOT:  # it was released meanwhile
                        continue
            is_new = request is None or request.state not in ACTIVE
            if is_new and (full := await self._queue_full(asker)):
                return await self.answering.refuse([asker], ErrorCode.BUSY, full, retry_after=QUEUE_AGAIN_SECONDS)
            request = asked_again(request, root, self.clock.now()).with_asker(asker)
            if await self.books.commit(Change(requests=(request,))):
                self.queue.note(request)
                if is_new:  # a further asker is counted, not logged
                    log.info("request.taken", cid=asker.text, months=asker.months, peer=asker.peer)
                return self.bell.ring() if root not in self.queue.fetched else None
        return None

    async def _stands(self, root: Root, known: Dossier) -> bool:
        """Whether there is an answer to repeat: the root is held, or another held root with a standing pin names it."""
        if known.request is not None and known.request.sizes is not None:
            return True
        for pin in known.naming:
            request = await self.books.request(pin.root) if pin.root != root else None
            if request is not None and request.sizes is not None:
                return True
        return False

    async def ill_asked(self, bad: BadAsk) -> None:
        """A request form that can only be refused."""
        await self.announcer.say(Error(bad.text, bad.code, bad.message, bad.id, bad.retry_after))

    async def _queue_full(self, asker: Asker) -> str | None:
        """The reason to refuse it, if any. In a full queue the greediest share makes room, if it is another one."""
        admission = await self.queue.admit(asker)
        if admission.instead_of is not None:
            self.bell.ring()  # the loop displaces it now
        return admission.refused

    async def turn_away(self, request: Request) -> None:
        self.queue.leaves(request.root)
        await self.fetching.turn_away(request)

    async def displace(self, request: Request) -> None:
        """Refuses a request that makes room, and deletes its row: a full queue must not fill the disk."""
        await self.fetching.displace(request)
        refused = await self.books.request(request.root)
        if refused is not None and refused.state is State.REFUSED:
            await self.ending.forget(refused, await self.books.pins_of(request.root))
