"""The loop: all rows that are due now, a bounded number of steps at a time, and a doorbell.

`due_at` is the scheduler: retries, lapses, reminders, expiry and recovery after a crash are one question to the books.
The truth is there; a ring only wakes the loop. A task that dies loses nothing, because no task owns a fact.
Fetches have places of their own, so that they never delay a payment; the askers share these places fairly
(`fair_share.py`, `turns.py`).
While the chain is not seen, the loop fetches only owed content: nothing else could be sold. It turns other requests
away after half a minute, for a start takes a moment.
A fault of ours in one piece of work is caught here, the one place where all work of a root begins (`crashes.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
import trio
from trio_typing import TaskStatus

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.pin import ACTIVE, Asker, Event, Pin, PinKey, Request, State
from pinning_worker.ports.books import Change
from pinning_worker.ports.world import Trouble
from pinning_worker.steps.answering import Answering
from pinning_worker.steps.bell import Bell
from pinning_worker.steps.crashes import SET_ASIDE, Crashed, Crashes, work_name
from pinning_worker.steps.fair_share import LOOK_AHEAD, Served, Waiting, fair_choice
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.queue import Queue
from pinning_worker.steps.shelf import Shelf
from pinning_worker.steps.turns import Places, Turn

log = structlog.get_logger()

PUT_OFF = timedelta(seconds=30)
UNSEEN_PATIENCE = timedelta(seconds=30)
ASIDE_AGAIN = timedelta(days=1)
LOOK_SECONDS = timedelta(seconds=1)
Item = TypeVar("Item")


@dataclass(slots=True)
class DueLoop(Chapter):
    """`judge` takes a nudged pin; `fetch`, `lapse` and `step` take a due row. `turn_away` takes a request that waits
    while the chain is not seen, `displace` one that makes room in a full queue."""

    shelf: Shelf
    answering: Answering
    crashes: Crashes
    queue: Queue
    bell: Bell
    ask_anew: Callable[[Root, Asker], Awaitable[None]]
    judge: Callable[[PinKey], Awaitable[None]]
    fetch: Callable[[Turn, Request], Awaitable[None]]
    turn_away: Callable[[Request], Awaitable[None]]
    displace: Callable[[Request], Awaitable[None]]
    lapse: Callable[[Request], Awaitable[None]]
    step: Callable[[Pin], Awaitable[None]]
    _working: set[Root | PinKey] = field(default_factory=set)
    _served: Served = field(default_factory=Served)
    _turn_ends_at: datetime | None = None
    _looked_at: datetime | None = None
    _is_tidying: bool = False
    _unseen_until: datetime | None = None  # until then waiting requests are not turned away; None: the chain is seen

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled. Work that the last run left unfinished continues from its state in the books."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self.bell.reset()
                try:
                    await self._turn(nursery)
                except Trouble as trouble:  # the books cannot be read, and all work is in them
                    log.error("step.put_off", seconds=PUT_OFF.seconds, reason=str(trouble))
                    await self.clock.sleep(PUT_OFF.total_seconds())

    async def _turn(self, nursery: trio.Nursery) -> None:
        await self.answering.say_postponed(self.ask_anew)
        await self._tidy(nursery)
        await self._start_fetches(nursery)
        self._start_judging(nursery)
        # One moment for both: a row that falls due between two would be neither due nor ahead.
        looked_at = self.clock.now()
        await self._start_due(nursery, looked_at)
        await self._rest(looked_at)

    async def _tidy(self, nursery: trio.Nursery) -> None:
        """Purges and sweeps beside the other work, for a large store takes its time."""
        if self._is_tidying or not self.shelf.has_tidying_due():
            return
        is_quiet = not self._working and not self.bell.nudged and not await self._is_anything_active()
        self._is_tidying = True  # from here on `run` alone ends it

        async def run() -> None:
            try:
                await self.shelf.purge_if_due()
                if is_quiet:  # an interrupted fetch still needs the blocks that it left
                    await self.shelf.sweep_if_due()
            except Trouble as trouble:
                self.shelf.untidy = True
                log.error("sweep.put_off", reason=str(trouble))
            finally:
                self._is_tidying = False

        nursery.start_soon(run)

    async def _is_anything_active(self) -> bool:
        return bool(await self.books.active_requests(paid_for=True) or await self.books.active_requests(paid_for=False))

    async def _start_fetches(self, nursery: trio.Nursery) -> None:
        """Looks up paid and unpaid requests apart: neither hides the other, however many wait."""
        self._start_displacing(nursery)
        now = self.clock.now()
        places = Places(self.terms.fetches_at_once, self.queue.turns, self.terms.budget.first_block_time)
        if len(self.queue.turns) >= places.count:
            self._turn_ends_at = self._when_to_look(places, now)
            if self._turn_ends_at is None or self._turn_ends_at > now:
                return
        self._looked_at = now
        paid, asked = await self._waiting(paid_for=True), await self._waiting(paid_for=False)
        if await self.chain.is_seen():
            self._unseen_until = None
        else:
            asked = await self._owed_among(asked, nursery)
        waiting = Waiting(await self._without_aside(paid), await self._without_aside(asked))
        waiting = waiting.without(self.crashes.held_back("fetch", waiting.roots()))
        for request, share in fair_choice(waiting, places.running(), places.count, self._served):
            turn = Turn.begins(share, now)
            if self._start(nursery, "fetch", request.root, partial(self.fetch, turn), request):
                self._served.note(share)
                self.queue.turns[request.root] = turn
        self._turn_ends_at = places.end_turns(waiting, self._served, now)

    def _when_to_look(self, places: Places, now: datetime) -> datetime | None:
        """While every place is taken, waiting requests are read once in LOOK_SECONDS at most: a NEW-CID costs less."""
        soonest = places.soonest_end()
        if soonest is None or self._looked_at is None or now < self._looked_at:  # the clock was set back
            return soonest
        return max(soonest, self._looked_at + LOOK_SECONDS)

    async def _without_aside(self, requests: list[Request]) -> list[Request]:
        return [request for request in requests if not await self._is_put_aside(request)]

    async def _waiting(self, *, paid_for: bool) -> list[Request]:
        ahead = min(self.terms.queue_size, LOOK_AHEAD) + len(self._working)
        waiting = await self.books.waiting(ahead, paid_for=paid_for)
        return [request for request in waiting if request.root not in self._working]

    def _start_displacing(self, nursery: trio.Nursery) -> None:
        for root, request in list(self.queue.leaving.items()):
            if root in self._working:  # a fetch of it has begun meanwhile
                del self.queue.leaving[root]
            else:
                self._start(nursery, "displace", root, self.displace, request)

    async def _owed_among(self, waiting: list[Request], nursery: trio.Nursery) -> list[Request]:
        """While the chain is not seen: requests with an owed pin or no askers. Turns the others away in time."""
        now, owed = self.clock.now(), []
        self._unseen_until = self._unseen_until or now + UNSEEN_PATIENCE
        for request in waiting:
            if not request.askers or any(pin.state is State.OWED for pin in await self.books.pins_of(request.root)):
                owed.append(request)
            elif now >= self._unseen_until:
                self._start(nursery, "turn-away", request.root, self.turn_away, request)
        return owed

    def _start_judging(self, nursery: trio.Nursery) -> None:
        waiting = [key for key in self.bell.nudged if key not in self._working]
        held_back = self.crashes.held_back("judge", waiting)
        for key in [key for key in waiting if key not in held_back][: self._places()]:
            if self.crashes.is_aside(key.root) or self._start(nursery, "judge", key, self.judge, key):
                del self.bell.nudged[key]

    async def _start_due(self, nursery: trio.Nursery, now: datetime) -> None:
        if self._places() <= 0:
            return
        ahead = self.terms.steps_at_once + len(self._working) + self.crashes.suspects
        for row in await self.books.due(now, ahead):
            key = row.root if isinstance(row, Request) else row.key
            if key in self._working or self._places() <= 0:
                continue
            if await self._is_put_aside(row):
                continue
            if isinstance(row, Request):
                self._start(nursery, "lapse", key, self.lapse, row)
            else:
                self._start(nursery, "step", key, self.step, row)

    async def _is_put_aside(self, row: Request | Pin) -> bool:
        """Whether the root is set aside. If so, refuses its askers, puts due rows off by a day, and frees nothing."""
        if not self.crashes.is_aside(row.root):
            return False
        again = self.clock.now() + ASIDE_AGAIN
        if isinstance(row, Pin):
            await self.books.commit(Change(pins=(replace(row, due_at=again),)))
        elif row.state not in ACTIVE:
            await self.books.commit(Change(requests=(replace(row, due_at=again),)))
        else:
            refused = row.moved(
                Event.FAILED, again, askers=(), failure=ErrorCode.INTERNAL, reason=SET_ASIDE, attempts=row.attempts + 1
            )
            if await self.books.commit(Change(requests=(refused,))):
                await self.answering.refuse_crashing(row.askers)
        return True

    def _places(self) -> int:
        """The number of steps that may begin now."""
        return self.terms.steps_at_once - (len(self._working) - len(self.queue.turns))

    def _start(
        self,
        nursery: trio.Nursery,
        kind: str,
        key: Root | PinKey,
        work: Callable[[Item], Awaitable[None]],
        item: Item,
    ) -> bool:
        """Begins the work. False: not now, since it crashed twice and other such work is under way."""
        name = work_name(kind, key)
        if not self.crashes.may_begin(name):
            return False
        self._working.add(key)
        self.crashes.begin(name)

        async def run() -> None:
            try:
                await self.crashes.watch(name, partial(work, item))
            except Trouble as trouble:
                if kind == "fetch" and isinstance(trouble, Crashed):  # its askers are answered: it gives its place up
                    return
                log.error("step.put_off", seconds=PUT_OFF.seconds, reason=str(trouble))
                await self.clock.sleep(PUT_OFF.total_seconds())  # in `_working`: the loop does not start it again
                if isinstance(key, PinKey):
                    self.bell.nudge(key)
            finally:
                self._working.discard(key)
                if isinstance(key, bytes):
                    self.queue.turns.pop(key, None)
                    self.queue.leaving.pop(key, None)
                self.bell.ring()

        nursery.start_soon(run)
        return True

    async def _rest(self, looked_at: datetime) -> None:
        """Waits until the bell rings or the next row after that moment is due."""
        turning_away = self._unseen_until if self._unseen_until and self._unseen_until > looked_at else None
        asked = (await self.books.next_due(looked_at), self.answering.next_moment(), turning_away, self._turn_ends_at)
        moments = [moment for moment in asked if moment]
        longest, now = self.terms.longest_rest.total_seconds(), self.clock.now()
        seconds = min([(moment - now).total_seconds() for moment in moments], default=longest)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ring_in, min(max(seconds, 0), longest))
            await self.bell.wait()
            nursery.cancel_scope.cancel()

    async def _ring_in(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self.bell.ring()
