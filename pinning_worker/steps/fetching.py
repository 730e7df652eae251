"""Fetching: a request becomes a measured, quoted closure, or everybody who asked is told why not.

The request stays due all the while: one that nobody works on is one that a crash interrupted. Everything that fails
here fails for one CID only; even a fault of ours is logged whole, answered INTERNAL, and ends nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog
import trio

from pinning_worker.domain.cid import cid_from_bytes, cid_text
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.messages import FetchingCid
from pinning_worker.domain.pin import ACTIVE, Asker, Event, PinKey, Request, State
from pinning_worker.one_error import one_error
from pinning_worker.ports import (
    Announcer,
    Blocks,
    Books,
    Change,
    Clock,
    DiskFull,
    Fetcher,
    NotFound,
    OverBudget,
    Stalled,
    Trouble,
    Unreadable,
)
from pinning_worker.steps.answering import UNSEEN, UNSEEN_AGAIN_SECONDS, Answering
from pinning_worker.steps.closure import Closure, DeniedPart, Gathering
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.quoting import Quoting, log_quote
from pinning_worker.steps.shelf import Shelf
from pinning_worker.steps.terms import Terms

log = structlog.get_logger()

FIRST_PROGRESS, NEXT_PROGRESS = timedelta(seconds=2), timedelta(seconds=5)
KEEP_STALLED = timedelta(hours=1)
KEEP_REFUSED = timedelta(days=1)  # for the operator to see why


class QuotaUsedUp(Exception):
    """What is quoted and unpaid has taken all that the operator gives it. The disk may have room: nothing is wrong."""


@dataclass(slots=True)
class Fetching:
    terms: Terms
    clock: Clock
    books: Books
    blocks: Blocks
    fetcher: Fetcher
    announcer: Announcer
    quoting: Quoting
    answering: Answering
    shelf: Shelf
    nudge: Callable[[PinKey], None]
    note_metadata: Callable[[bytes, bool], Awaitable[None]] | None
    _taken: dict[bytes, int] = field(default_factory=dict)  # bytes that running fetches have taken

    async def fetch(self, request: Request) -> None:
        """The closure, measured and quoted; or why not. Everybody who asked is answered.

        The row stays due all the while: one that nobody works on is one that a crash interrupted. Raises Trouble where
        the outcome could not be stored (it is due still), or not be told.
        """
        current = await self.books.request(request.root)
        if current is None or current.state not in ACTIVE:
            return  # the queue was read before its last fetch had ended
        request = current
        gathering = await self._gathering(request)
        self._taken[request.root] = 0
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    reporting = trio.CancelScope()
                    nursery.start_soon(self._report_progress, gathering, reporting)
                    gathered = await self._gather_or_explain(request, gathering, reporting)
        finally:
            del self._taken[request.root]
        if gathered is not None:
            await self._tell(request.root, *gathered)

    async def turn_away(self, request: Request) -> None:
        """A request that waits while the chain is not seen: nobody can be told a price."""
        nothing = await self._gathering(request)
        await self._give_up(request, nothing, ErrorCode.BUSY, UNSEEN, retry_after=UNSEEN_AGAIN_SECONDS)

    async def _gather_or_explain(
        self, request: Request, gathering: Gathering, reporting: trio.CancelScope
    ) -> tuple[Closure, tuple[Asker, ...]] | None:
        try:
            try:
                return await self._gather(request, gathering)
            finally:
                reporting.cancel()  # nobody hears of its progress after its end
        except NotFound as failure:
            await self._give_up(request, gathering, ErrorCode.NOT_FOUND, str(failure), retry_after=60)
        except Stalled as failure:
            await self._interrupted(request, gathering, str(failure))
        except OverBudget as failure:
            if gathering.budget.bytes < self.terms.budget.bytes:
                await self._over_quota(request, gathering, str(failure))
            else:
                await self._give_up(request, gathering, ErrorCode.TOO_LARGE, str(failure))
        except Unreadable as failure:
            await self._give_up(request, gathering, ErrorCode.UNSUPPORTED, str(failure))
        except DeniedPart as failure:
            await self._give_up(request, gathering, ErrorCode.DENIED, str(failure))
        except QuotaUsedUp:
            await self._over_quota(request, gathering, "no room at the moment")
        except DiskFull as failure:
            log.error("disk.full", cid=cid_text(request.root), reason=str(failure))
            self.shelf.untidy = True  # what was put before it filled up is known to nobody
            await self._give_up(request, gathering, ErrorCode.BUSY, "no room at the moment", retry_after=600)
        except Trouble as failure:
            log.error("fetch.put_off", cid=cid_text(request.root), reason=str(failure))
            self.shelf.untidy = True
            await self._give_up(request, gathering, ErrorCode.BUSY, "cannot store it at the moment", retry_after=600)
        except Exception:  # a bug met by one DAG is logged whole and answered; it must not end the worker
            self.shelf.untidy, reference = True, self.quoting.new_id()
            log.exception("fetch.crashed", cid=cid_text(request.root), reference=reference)
            await self._give_up(request, gathering, ErrorCode.INTERNAL, f"reference {reference}", retry_after=600)
        return None

    async def _gathering(self, request: Request) -> Gathering:
        """One closure's fetch, bounded by what the staging quota has left beside the other fetches."""
        taken = await self.books.unpaid_bytes() + sum(self._taken.values())
        owed = not request.askers  # nobody asked but a paid pin: what is paid for is no longer staged
        room = self.terms.budget.bytes if owed else min(self.terms.budget.bytes, self.terms.staging_quota - taken)

        async def progress(blocks: int, size: int) -> None:
            self._taken[request.root] = size

        return Gathering(
            root=cid_from_bytes(request.root),
            fetcher=self.fetcher,
            store=self.blocks,
            clock=self.clock,
            budget=replace(self.terms.budget, bytes=room),
            progress=progress,
            peers=tuple(dict.fromkeys(asker.peer for asker in reversed(request.askers))),
            origins=tuple(dict.fromkeys(origin for asker in request.askers for origin in asker.origins)),
            denied=self.terms.denied,
        )

    async def _report_progress(self, gathering: Gathering, reporting: trio.CancelScope) -> None:
        """FETCHING-CID to everybody who waits: after two seconds, then every five, until `reporting` is cancelled."""
        root, wait = gathering.root.key, FIRST_PROGRESS
        with reporting:
            while True:
                await self.clock.sleep(wait.total_seconds())
                wait = NEXT_PROGRESS
                for asker in await self._note_that_it_takes_time(root):
                    await self.announcer.say(FetchingCid(asker.text, gathering.count, gathering.size, asker.id))

    async def _note_that_it_takes_time(self, root: bytes) -> tuple[Asker, ...]:
        for _ in attempts("fetching"):
            request = await self.books.request(root)
            if request is None or request.state not in ACTIVE:
                return ()
            if request.state is State.FETCHING:
                return request.askers
            if await self.books.commit(Change(requests=(request.moved(Event.STARTED, self.clock.now()),))):
                return request.askers
        return ()

    async def _gather(self, request: Request, gathering: Gathering) -> tuple[Closure, tuple[Asker, ...]]:
        """The closure, its quotes stored, and who is to be answered."""
        if gathering.budget.bytes <= 0:
            raise QuotaUsedUp
        while True:
            closure = await gathering.run()
            async with self.shelf.holding_still():
                if not await self.shelf.lacks(closure):
                    gathering.require_allowed(closure.blocks)  # the list may have changed meanwhile
                    await self._require_room(request, closure)
                    return closure, await self._measured(request.root, closure)
            # A block that was here already was let go with another closure meanwhile: fetch it.

    async def _require_room(self, request: Request, closure: Closure) -> None:
        """Fetches side by side each saw room when they began: it is counted again, one at a time, before the quote."""
        if not request.askers:  # owed: what is paid for is no longer staged
            return
        if await self.books.unpaid_bytes() + closure.sizes.total > self.terms.staging_quota:
            raise QuotaUsedUp

    async def _tell(self, root: bytes, closure: Closure, askers: tuple[Asker, ...]) -> None:
        """It is quoted: whatever fails from here on takes nothing back."""
        await self.answering.first(root, askers)
        for pin in await self.books.pins_of(root):
            self.nudge(pin.key)
        if closure.has_images is not None and self.note_metadata is not None:
            await self.note_metadata(root, closure.has_images)

    async def _measured(self, root: bytes, closure: Closure) -> tuple[Asker, ...]:
        """Stores measure, quotes and block references in one change; who is to be answered."""
        for _ in attempts("measured"):
            known = await self.books.dossier(root, 0)
            current = known.request
            assert current is not None
            now = self.clock.now()
            request = current.moved(
                Event.MEASURED,
                now + self.terms.quote_life,
                askers=(),
                sizes=closure.sizes,
                blocks=len(closure.blocks),
                references=closure.references,
                foreign=closure.foreign,
                file_name=closure.file_name,
                failure=None,
                reason="",
                attempts=0,
            )
            quotes = self.quoting.first(known, request, now)
            hold = ((root, tuple(closure.blocks)),)
            if await self.books.commit(Change(requests=(request,), quotes=quotes, hold=hold)):
                for quote in quotes:
                    log_quote(quote)
                return current.askers
        return ()

    async def _interrupted(self, request: Request, gathering: Gathering, reason: str) -> None:
        """Blocks came, then stopped: those held are kept for the retry."""
        for _ in attempts("interrupted"):
            current = await self.books.request(request.root) or request
            if current.state not in ACTIVE:
                return None
            due = self.clock.now() + KEEP_STALLED
            stalled = current.moved(
                Event.INTERRUPTED,
                due,
                askers=(),
                failure=ErrorCode.TIMEOUT,
                reason=reason,
                sizes=None,
                attempts=current.attempts + 1,
            )
            hold = ((request.root, tuple(gathering.blocks)),)
            if await self.books.commit(Change(requests=(stalled,), hold=hold)):
                return await self.answering.refuse(current.askers, ErrorCode.TIMEOUT, reason, retry_after=60)
        return None

    async def _over_quota(self, request: Request, gathering: Gathering, reason: str) -> None:
        log.warning("staging.used_up", cid=cid_text(request.root), raise_this="PINNING_STAGING_QUOTA")
        await self._give_up(request, gathering, ErrorCode.BUSY, reason, retry_after=600)

    async def _give_up(
        self, request: Request, gathering: Gathering, code: ErrorCode, reason: str, retry_after: int | None = None
    ) -> None:
        for _ in attempts("given up"):
            current = await self.books.request(request.root) or request
            if current.state not in ACTIVE:
                return None  # it was quoted: stored by a database that did not live to say so
            due = self.clock.now() + KEEP_REFUSED
            refused = current.moved(
                Event.FAILED, due, askers=(), failure=code, reason=reason, sizes=None, attempts=current.attempts + 1
            )
            pins = await self.books.pins_of(request.root)
            kept = any(pin.keeps for pin in pins)
            release = () if kept else (request.root,)
            change = Change(requests=(refused,), release=release)
            if await self.shelf.store_and_free(change, tuple(gathering.blocks), was_paid=bool(pins)):
                log.info("request.refused", cid=cid_text(request.root), code=code.value, reason=reason)
                return await self.answering.refuse(current.askers, code, reason, retry_after)
        return None
