"""Fetching: a request becomes a measured, quoted closure, or all its askers receive the reason.

The request stays due all the while: one without running work was interrupted by a crash. Every failure here concerns
one CID only; even a fault of ours is first answered with INTERNAL (`crashes.py` logs and counts it).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog
import trio

from pinning_worker.domain.content.cid import Root, cid_from_bytes, cid_text
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.content.sizes import PIECE, disk_room
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import bytes_for, quoted_at
from pinning_worker.domain.pin import ACTIVE, Asker, Event, Request, Share, State, in_other_words
from pinning_worker.domain.topic.messages import FetchingCid
from pinning_worker.domain.verdict import settled
from pinning_worker.ports.books import Change
from pinning_worker.ports.content import Budget, NoRoom, NotFound, OverBudget, Stalled, Unreadable
from pinning_worker.ports.world import DiskFull, Trouble
from pinning_worker.steps.answering import UNSEEN, UNSEEN_AGAIN_SECONDS, Answering
from pinning_worker.steps.bell import Bell
from pinning_worker.steps.closure import Closure, DeniedPart, Gathering
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.queue import MADE_ROOM
from pinning_worker.steps.quoting import Quoting, log_quote
from pinning_worker.steps.shelf import Shelf
from pinning_worker.steps.staging import room_for, staged_by
from pinning_worker.steps.turns import Turn
from pinning_worker.ungroup import one_error

log = structlog.get_logger()

FIRST_PROGRESS, NEXT_PROGRESS = timedelta(seconds=2), timedelta(seconds=5)
MADE_ROOM_AGAIN_SECONDS = 30
KEEP_STALLED = timedelta(hours=1)
KEEP_REFUSED = timedelta(days=1)  # for the operator to see why


NO_ROOM = "no room at the moment"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a failed fetch. `told`: the text for the askers; None is the failure's own. `log_event`: its name
    in the operator's log; such a failure may have left blocks of an unfinished put on the shelf."""

    code: ErrorCode
    again_seconds: int | None = None
    told: str | None = None
    log_event: str | None = None


REFUSALS: dict[type[Exception], Refusal] = {
    NotFound: Refusal(ErrorCode.NOT_FOUND, 60),
    OverBudget: Refusal(ErrorCode.TOO_LARGE),
    Unreadable: Refusal(ErrorCode.UNSUPPORTED),
    DeniedPart: Refusal(ErrorCode.DENIED),
    NoRoom: Refusal(ErrorCode.BUSY, 600, NO_ROOM, log_event="disk.full"),
    DiskFull: Refusal(ErrorCode.BUSY, 600, NO_ROOM, log_event="disk.full"),  # a kind of Trouble, so before it
    Trouble: Refusal(ErrorCode.BUSY, 600, "cannot store it at the moment", log_event="fetch.put_off"),
}
EXPECTED = tuple(REFUSALS)


class QuotaUsedUp(Exception):
    """Quoted, unpaid content has used up the staging quota. The disk may have room: this is no fault."""


@dataclass(slots=True)
class Fetching(Chapter):
    quoting: Quoting
    answering: Answering
    shelf: Shelf
    bell: Bell
    _taken: dict[Root, tuple[Share, int]] = field(default_factory=dict)  # bytes taken by running fetches

    async def fetch(self, request: Request, turn: Turn) -> None:
        """Fetches, measures and quotes the closure, or refuses it; answers all askers. Ends early when `turn` is over.

        The row stays due all the while: one without running work was interrupted by a crash. Raises Trouble if the
        outcome could not be stored (then the request is still due) or announced.
        """
        current = await self.books.request(request.root)
        if current is None or current.state not in ACTIVE:
            return  # the queue was read before an earlier fetch of it ended
        request = current
        gathering = await self._gathering(request, turn)
        self._taken[request.root] = turn.share, 0
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    reporting = trio.CancelScope()
                    nursery.start_soon(self._report_progress, gathering, reporting)
                    gathered = await self._gather_or_explain(request, gathering, turn.share, reporting)
        finally:
            del self._taken[request.root]
        if gathered is not None:
            await self._tell(request.root, *gathered)

    async def turn_away(self, request: Request) -> None:
        """Refuses a request that waits while the chain is not seen: no price can be offered."""
        await self._give_up(request, (), ErrorCode.BUSY, UNSEEN, retry_after=UNSEEN_AGAIN_SECONDS)

    async def displace(self, request: Request) -> None:
        """Refuses a request that makes room in a full queue."""
        await self._give_up(request, (), ErrorCode.BUSY, MADE_ROOM, retry_after=MADE_ROOM_AGAIN_SECONDS)

    async def _gather_or_explain(
        self, request: Request, gathering: Gathering, share: Share, reporting: trio.CancelScope
    ) -> tuple[Closure, tuple[Asker, ...]] | None:
        try:
            try:
                return await self._gather(request, gathering, share)
            finally:
                reporting.cancel()  # no progress is announced after the end
        except Stalled as failure:
            await self._interrupted(request, gathering, str(failure))
        except QuotaUsedUp:
            await self._over_quota(request, gathering, NO_ROOM)
        except OverBudget as failure:
            if too_large := failure.by(self.terms.budget) or failure.by(self._roomiest()):
                await self._explain(request, gathering, too_large)
            else:
                await self._over_quota(request, gathering, str(failure))
        except EXPECTED as failure:
            await self._explain(request, gathering, failure)
        except Exception as fault:
            self.shelf.untidy, told = True, f"reference {self.near.new_id()}"
            fault.add_note(f"the asker was told: {told}")
            await self._give_up(request, gathering.blocks, ErrorCode.INTERNAL, told, retry_after=600)
            raise
        return None

    async def _explain(self, request: Request, gathering: Gathering, failure: Exception) -> None:
        refusal = next(refusal for kind, refusal in REFUSALS.items() if isinstance(failure, kind))
        if refusal.log_event is not None:
            log.error(refusal.log_event, cid=cid_text(request.root), reason=str(failure))
            self.shelf.untidy = True  # no row knows the blocks of an unfinished put
        told = refusal.told or str(failure)
        await self._give_up(request, gathering.blocks, refusal.code, told, refusal.again_seconds)

    async def _gathering(self, request: Request, turn: Turn) -> Gathering:
        """The fetch of one closure, bounded by the rest of the staging quota beside the other fetches."""
        budget, paid_room = self.terms.budget, await self._paid_room(request.root)
        if paid_room < self._most_room():
            left = max(await self._room_left(turn.share, self._taken.values()), paid_room)
            budget = replace(
                budget, max_bytes=min(budget.max_bytes, left), max_blocks=min(budget.max_blocks, left // PIECE)
            )

        async def progress(blocks: int, size: int) -> None:
            self._taken[request.root] = turn.share, disk_room(size, blocks)
            turn.brought(blocks, self.clock.now())

        return Gathering(
            root=cid_from_bytes(request.root),
            fetcher=self.near.fetcher,
            store=self.blocks,
            clock=self.clock,
            budget=budget,
            progress=progress,
            peers=tuple(dict.fromkeys(asker.peer for asker in reversed(request.askers))),
            origins=tuple(dict.fromkeys(origin for asker in request.askers for origin in asker.origins)),
            denied=self.terms.denied,
            is_over=lambda: turn.is_over,
        )

    def _roomiest(self) -> Budget:
        """The budget of a fetch while nothing else is staged. What exceeds it is too large at any time."""
        budget, quota = self.terms.budget, self.terms.staging_quota
        return replace(
            budget, max_bytes=min(budget.max_bytes, quota), max_blocks=min(budget.max_blocks, quota // PIECE)
        )

    async def _paid_room(self, root: Root) -> int:
        """The room that payments give beside the staging quota, whoever else asks: all for a paid term; for money that
        came before any quote, the size that it pays for during one month."""
        pins = await self.books.pins_of(root)
        if any(pin.keeps for pin in pins):
            return self._most_room()
        unquoted = [pin for pin in pins if pin.state is State.OWED and pin.due_at is not None]
        log_of_tariffs, room = await self.books.tariffs(), 0
        for pin in unquoted:
            paid = settled(await self.books.payments_of(pin.key))
            moment = min((payment.proof.time for payment in paid if payment.proof), default=self.clock.now())
            room = max(room, bytes_for(Swartz.total(payment.amount for payment in paid), moment, log_of_tariffs))
        return room

    async def _room_left(self, share: Share, taken: Iterable[tuple[Share, int]]) -> int:
        return room_for(share, self.terms.staging_quota, staged_by(await self.books.unpaid_room(), taken))

    def _most_room(self) -> int:
        return disk_room(self.terms.budget.max_bytes, self.terms.budget.max_blocks)

    async def _report_progress(self, gathering: Gathering, reporting: trio.CancelScope) -> None:
        """Sends FETCHING-CID to all askers after two seconds, then every five, until `reporting` is cancelled."""
        root, wait = gathering.root.key, FIRST_PROGRESS
        with reporting:
            while True:
                await self.clock.sleep(wait.total_seconds())
                wait = NEXT_PROGRESS
                for asker in in_other_words(await self._note_that_it_takes_time(root)):
                    await self.announcer.say(FetchingCid(asker.text, gathering.count, gathering.size, asker.id))

    async def _note_that_it_takes_time(self, root: Root) -> tuple[Asker, ...]:
        for _ in attempts("fetching"):
            request = await self.books.request(root)
            if request is None or request.state not in ACTIVE:
                return ()
            if request.state is State.FETCHING:
                return request.askers
            if await self.books.commit(Change(requests=(request.moved(Event.STARTED, self.clock.now()),))):
                return request.askers
        return ()

    async def _gather(self, request: Request, gathering: Gathering, share: Share) -> tuple[Closure, tuple[Asker, ...]]:
        """Fetches the closure and stores its quotes. Returns it with the askers to answer."""
        if min(gathering.budget.max_bytes, gathering.budget.max_blocks) <= 0:
            raise QuotaUsedUp
        while True:
            closure = await gathering.run()
            async with self.shelf.holding_still():
                if not await self.shelf.lacks(closure):
                    gathering.require_allowed(closure.blocks)  # the denylist may have changed meanwhile
                    await self._require_room(request.root, closure, share)
                    return closure, await self._measured(request.root, closure)
            # A block that was here already was freed with another closure meanwhile: fetch it.

    async def _require_room(self, root: Root, closure: Closure, share: Share) -> None:
        """Counts the room again before the quote, one fetch at a time: parallel fetches began with the same room."""
        room = disk_room(closure.sizes.total, len(closure.blocks))
        if room <= await self._paid_room(root):
            return
        if room > await self._room_left(share, ()):
            raise QuotaUsedUp

    async def _tell(self, root: Root, closure: Closure, askers: tuple[Asker, ...]) -> None:
        """Answers the askers and nudges the pins. The quote is stored: no failure from here on takes it back."""
        await self.answering.answer_now(root, askers)
        for pin in await self.books.pins_of(root):
            self.bell.nudge(pin.key)
        if self.near.note_metadata is not None:
            await self.near.note_metadata(root, closure.has_images)

    async def _measured(self, root: Root, closure: Closure) -> tuple[Asker, ...]:
        """Stores measures, quotes and block references in one change. Returns the askers to answer."""
        for _ in attempts("measured"):
            known = await self.books.dossier(root, 0)
            current = known.request
            assert current is not None
            now = self.clock.now()
            request = current.moved(
                Event.MEASURED,
                now + self.terms.quote_life,
                askers=(),
                staged_for=tuple(dict.fromkeys(asker.share for asker in current.askers)),
                sizes=closure.sizes,
                blocks=len(closure.blocks),
                references=closure.references,
                foreign=closure.foreign,
                file_name=closure.file_name,
                failure=None,
                reason="",
                attempts=0,
            )
            tariff = quoted_at(now, await self.books.tariffs())
            quotes = self.quoting.missing_quotes(known, request, tariff, now)
            hold = ((root, tuple(closure.blocks)),)
            if await self.books.commit(Change(requests=(request,), quotes=quotes, hold=hold)):
                for quote in quotes:
                    log_quote(quote)
                return current.askers
        return ()

    async def _interrupted(self, request: Request, gathering: Gathering, reason: str) -> None:
        """Blocks came, then stopped. A paid pin keeps them. Else they wait in quarantine, from where a retry brings
        them back: no quota counts them, and an attacker withholds one block at no cost."""
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
            pins, came = await self.books.pins_of(request.root), tuple(gathering.blocks)
            if any(pin.keeps for pin in pins):
                stored = await self.books.commit(Change(requests=(stalled,), hold=((request.root, came),)))
            else:
                bought = any(pin.was_bought for pin in pins)
                change = Change(requests=(stalled,), release=(request.root,))
                stored = await self.shelf.store_and_free(change, came, was_paid=bought)
            if stored:
                return await self.answering.refuse(current.askers, ErrorCode.TIMEOUT, reason, retry_after=60)
        return None

    async def _over_quota(self, request: Request, gathering: Gathering, reason: str) -> None:
        log.warning("staging.used_up", cid=cid_text(request.root), raise_this="PINNING_STAGING_QUOTA")
        await self._give_up(request, gathering.blocks, ErrorCode.BUSY, reason, retry_after=600)

    async def _give_up(
        self,
        request: Request,
        blocks: Iterable[Multihash],
        code: ErrorCode,
        reason: str,
        retry_after: int | None = None,
    ) -> None:
        """Refuses the request. `blocks`: blocks of its fetch, which no root references yet."""
        for _ in attempts("given up"):
            current = await self.books.request(request.root) or request
            if current.state not in ACTIVE:
                return None  # it is quoted already: the commit succeeded, and its confirmation was lost
            due = self.clock.now() + KEEP_REFUSED
            refused = current.moved(
                Event.FAILED, due, askers=(), failure=code, reason=reason, sizes=None, attempts=current.attempts + 1
            )
            pins = await self.books.pins_of(request.root)
            kept = any(pin.keeps for pin in pins)
            change = Change(requests=(refused,), release=() if kept else (request.root,))
            bought = any(pin.was_bought for pin in pins)
            if await self.shelf.store_and_free(change, tuple(blocks), was_paid=bought):
                log.info("request.refused", cid=cid_text(request.root), code=code.value, reason=reason)
                return await self.answering.refuse(current.askers, code, reason, retry_after)
        return None
