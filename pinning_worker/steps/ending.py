"""Ending: reminders before the end of a term, the end by two clocks, the lapse of an unpaid quote.

A payment on its way that could cover a month holds the blocks (`awaiting.py`). At its end a term is extended by credit,
if the price fell so far that the credit covers a month.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from pinning_worker.domain.content.cid import Root, cid_text
from pinning_worker.domain.money.account import account_of
from pinning_worker.domain.money.pricing import remaining_days
from pinning_worker.domain.pin import LIVE, Event, Pin, Request, State, next_look, next_reminder
from pinning_worker.domain.topic.messages import ExpiredCid, ExpiringCid, Renewal
from pinning_worker.domain.topic.name_row import name_text
from pinning_worker.domain.verdict import account_as_of, settled, waits_for_depth
from pinning_worker.ports.books import Change
from pinning_worker.steps.awaiting import Awaiting
from pinning_worker.steps.bell import Bell
from pinning_worker.steps.fetching import KEEP_REFUSED
from pinning_worker.steps.last_words import LastWords
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.quoting import Quoting
from pinning_worker.steps.receipts import WrittenReceipts
from pinning_worker.steps.shelf import Shelf
from pinning_worker.steps.tariffs import Tariffs, rate_of
from pinning_worker.steps.two_clocks import TwoClocks

log = structlog.get_logger()

CLOCKS_AGAIN = timedelta(minutes=10)
UNSEEN_AGAIN = timedelta(minutes=10)
LAPSE_AGAIN = timedelta(hours=6)  # if no block comes


@dataclass(slots=True)
class Ending(Chapter):
    quoting: Quoting
    shelf: Shelf
    receipts: WrittenReceipts
    two_clocks: TwoClocks
    awaiting: Awaiting
    tariffs: Tariffs
    last_words: LastWords
    bell: Bell

    async def remind_or_end(self, pin: Pin) -> None:
        now = self.clock.now()
        assert pin.ends is not None
        reminder = next_reminder(pin.ends, now, pin.reminded)
        if pin.ends <= now:
            await self.end(pin)
        elif reminder and reminder[1] <= now:
            await self._remind(pin, reminder[0])
        else:
            await self.books.commit(Change(pins=(replace(pin, due_at=next_look(pin, self.clock.now())),)))

    async def _remind(self, pin: Pin, days: int) -> None:
        """Sends a reminder. It offers a renewal, so it waits until the chain is seen."""
        if not await self.chain.is_seen():
            await self.books.commit(Change(pins=(replace(pin, due_at=self.clock.now() + UNSEEN_AGAIN),)))
            return
        assert pin.ends is not None
        rates = await self.tariffs.rates(pin.root)
        payments = await self.books.payments_of(pin.key)
        account = account_of(settled(payments), rates, self.clock.now())
        quote = await self.quoting.standing(pin.root, self.terms.most_months, pin.cid_text, until=pin.ends)
        reminded = pin.moved(Event.REMINDED, None, reminded=days)
        reminded = replace(reminded, due_at=next_look(reminded, self.clock.now()))
        async with self.last_words.told_once_stored():
            if not await self.books.commit(Change(pins=(reminded,))):
                return
            if quote is None or self.terms.blocked(pin.root) or not account.missing(rate_of(quote, rates)):
                return  # credit extends the term by itself
            missing = account.missing(rate_of(quote, rates), quote.months)
            left = remaining_days(pin.ends, self.clock.now())
            await self.announcer.say(ExpiringCid(pin.cid_text, pin.name, pin.ends, left, Renewal.of(quote, missing)))

    async def end(self, pin: Pin) -> None:
        """Ends a term that is over by two clocks: ours, and the median time of the last 11 verified headers."""
        now = self.clock.now()
        assert pin.ends is not None
        if not await self.two_clocks.is_over(pin, now):
            await self.books.commit(Change(pins=(replace(pin, due_at=now + CLOCKS_AGAIN),)))
            return
        payments, tip = await self.books.payments_of(pin.key), await self.chain.tip()
        assert tip is not None
        if waits_for_depth(pin, payments):
            await self.books.commit(Change(pins=(replace(pin, due_at=now + CLOCKS_AGAIN),)))
            return
        account = account_as_of(pin, payments, await self.tariffs.rates(pin.root), tip, now)
        if account.ends is not None and account.ends > pin.ends:  # the price fell: the next judgement extends the term
            await self.books.commit(Change(pins=(replace(pin, due_at=now + CLOCKS_AGAIN),)))
            return self.bell.nudge(pin.key)
        if renewed := await self.awaiting.until([pin], now):  # paid for longer, and not deep enough to count
            await self.books.commit(Change(pins=(replace(pin, due_at=renewed),)))
            return
        await self._lapse_if_over(pin.root)
        request = await self.books.request(pin.root)
        if request is not None and request.sizes is not None:
            await self.receipts.write(pin, request, released_at=now)
        ended = pin.moved(Event.ENDED, None)
        async with self.last_words.told_once_stored():
            if await self.shelf.let_go(ended, Change(requests=(request,) if request else (), pins=(ended,))):
                log.info("pin.ended", cid=pin.cid_text, name=name_text(pin.name), ended=pin.ends.isoformat())
                await self.announcer.say(ExpiredCid(pin.cid_text, pin.name, pin.ends))

    async def _lapse_if_over(self, root: Root) -> None:
        """An expired quote holds nothing: its lapse is due, and must come before the announcement of the end."""
        request = await self.books.request(root)
        if request is None or request.state not in (State.QUOTED, State.STALLED) or request.due_at is None:
            return
        if request.due_at <= self.clock.now():
            await self.lapse(request)

    async def lapse(self, request: Request) -> None:
        """Lapses a quote without a payment in time."""
        now = self.clock.now()
        pins = await self.books.pins_of(request.root)
        if request.state is State.REFUSED:
            return await self.forget(request, pins)
        # A payment in time may exist: the books know it once the chain is seen (again), and read.
        if not (await self.chain.is_seen() and await self.chain.is_read()):
            await self.books.commit(Change(requests=(replace(request, due_at=now + UNSEEN_AGAIN),)))
            return
        quotes = await self.books.quotes(request.root)
        last = max((quote.expires for quote in quotes), default=None)
        if request.state is State.QUOTED and last and not await self.two_clocks.is_lapsed(request.root, last):
            await self.books.commit(Change(requests=(replace(request, due_at=now + LAPSE_AGAIN),)))
            return
        if until := await self.awaiting.until([pin for pin in pins if pin.state not in LIVE], now):
            await self.books.commit(Change(requests=(replace(request, due_at=until),)))
            return
        kept = any(pin.keeps for pin in pins)
        forget_at = now + KEEP_REFUSED if request.state is State.STALLED else None
        lapsed = request.moved(Event.LAPSED, forget_at, sizes=request.sizes if kept else None, staged_for=())
        release = () if kept else (request.root,)
        change = Change(requests=(lapsed,), release=release)
        stored = await self.shelf.store_and_free(change, was_paid=any(pin.was_bought for pin in pins))
        if stored and not kept:  # the lapse of a renewal's quote frees nothing
            log.info("quote.lapsed", cid=cid_text(request.root))

    async def forget(self, request: Request, pins: Iterable[Pin]) -> None:
        """Deletes a refused request that nobody paid for: requests for missing content must not fill the disk."""
        if any(pins) or await self.books.quotes(request.root):
            await self.books.commit(Change(requests=(replace(request, due_at=None),)))
        else:
            await self.books.commit(Change(forget=(request,)))
