"""Owing: paid, and the content is not here. Retries grow further and further apart while the term runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from pinning_worker.domain.content.cid import cid_from_bytes
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import least_at
from pinning_worker.domain.pin import LIVE, Event, Pin, State, asked_again
from pinning_worker.domain.topic.name_row import name_text
from pinning_worker.domain.verdict import is_given_back
from pinning_worker.ports.books import Change
from pinning_worker.steps.bell import Bell
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.receipts import WrittenReceipts
from pinning_worker.steps.shelf import Shelf
from pinning_worker.steps.two_clocks import TwoClocks

log = structlog.get_logger()

FIRST_RETRY, LAST_RETRY = timedelta(minutes=1), timedelta(hours=6)

LONGEST_TRY = timedelta(days=30)  # for what was never quoted; then it is owed until somebody brings or refunds it

_NOWHERE = "paid, but never quoted, and nobody brought it within 30 days"
_DUST = "less than the least fee, for what nobody was quoted"
_TERM_ENDED, _DENIED = "its term ended before the content could be had", "on the operator's denylist"


@dataclass(slots=True)
class Owing(Chapter):
    shelf: Shelf
    receipts: WrittenReceipts
    two_clocks: TwoClocks
    bell: Bell

    async def retry(self, pin: Pin) -> None:
        """Requests the content of an owed pin again, further and further apart, while the term runs."""
        now = self.clock.now()
        over = pin.ends is not None and pin.ends <= now and await self.two_clocks.is_over(pin, now)
        if is_given_back(await self.books.payments_of(pin.key)):
            if await self.books.commit(Change(pins=(replace(pin, due_at=now + LAST_RETRY),))):
                self.bell.nudge(pin.key)  # the judgement closes it
            return
        if pin.ends is None and await self._has_tried_long_enough(pin):
            log.error("pin.given_up", cid=pin.cid_text, name=name_text(pin.name), why=_NOWHERE)
            await self.books.commit(Change(pins=(pin.moved(Event.OWES, None, reason=_NOWHERE),)))
            return
        wait = min(FIRST_RETRY * 2 ** min(pin.attempts, 16), LAST_RETRY)
        if pin.attempts:  # the first attempt follows the log line "pin.owed"
            log.error("pin.still_owed", cid=pin.cid_text, name=name_text(pin.name), why=pin.reason, tried=pin.attempts)
        if pin.ends is None and await self._is_dust(pin):
            await self.books.commit(Change(pins=(pin.moved(Event.OWES, None, reason=_DUST),)))
            return
        request = await self.books.request(pin.root)
        denied = self.terms.denied(cid_from_bytes(pin.root))
        idle = request is None or request.state in (State.REFUSED, State.LAPSED, State.STALLED)
        is_asked = idle and not over and not denied and not (request and request.sizes)
        again = (asked_again(request, pin.root, now),) if is_asked else ()
        reason = _TERM_ENDED if over else _DENIED if denied else pin.reason
        owed = pin.moved(Event.OWES, None if over else now + wait, attempts=pin.attempts + 1, reason=reason)
        if over:  # the rest of it is no longer kept
            await self.receipts.close(await self.books.payments_of(pin.key))
            await self.shelf.let_go(owed, Change(requests=(request,) if request else (), pins=(owed,)))
        elif await self.books.commit(Change(requests=again, pins=(owed,))):
            self.bell.ring()
            if request and request.sizes:
                self.bell.nudge(pin.key)

    async def _has_tried_long_enough(self, pin: Pin) -> bool:
        """Whether the last payment of at least the least fee, for content that nobody was ever quoted, is so old."""
        log_of_tariffs = await self.books.tariffs()
        last: datetime | None = None
        for payment in await self.books.payments_of(pin.key):
            if payment.proof and payment.amount >= least_at(payment.proof.time, log_of_tariffs):
                last = max(last or payment.proof.time, payment.proof.time)
        return last is not None and last + LONGEST_TRY <= self.clock.now()

    async def _is_dust(self, pin: Pin) -> bool:
        """Whether an older version booked dust as a debt: no quote exists, and the payments are below the least fee."""
        if await self.books.quotes(pin.root):
            return False
        proven = [payment for payment in await self.books.payments_of(pin.key) if payment.proof]
        least = least_at(self.clock.now(), await self.books.tariffs())
        return Swartz.total(payment.amount for payment in proven) < least

    async def denylist_changed(self) -> None:
        """Logs each blocked pin, and requests owed content that is no longer denied."""
        for pin in await self.books.all_pins():
            if pin.state in LIVE and self.terms.blocked(pin.root):
                log.warning("pin.blocked", cid=pin.cid_text, name=name_text(pin.name), reason=_DENIED)
            elif pin.reason == _DENIED and not self.terms.denied(cid_from_bytes(pin.root)):
                await self.books.commit(Change(pins=(replace(pin, due_at=self.clock.now(), reason="", attempts=0),)))
        self.bell.ring()
