"""Quotes: one stands for each (root, months); it is repeated while it lives, renewed when it lapsed.

A quote needs a closure that is wholly held, and keeps it held: the request's `due_at` is never before the last quote's
end. It is a promise: it names its tariff and ends within that tariff's notice, so the tariff log keeps it. A new tariff
ends no quote; the next question gets a new quote.

An unpaid closure is held for UNPAID_LIVES quote lives at most, however often it is quoted anew (for other months, say):
the last quote ends with the hold. After it the content is fetched again, if there is room for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from pinning_worker.domain.content.cid import Root, cid_text
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.tariff import MINERS_CLOCKS, Tariff, fee, quoted_at
from pinning_worker.domain.pin import LIVE, Event, Request
from pinning_worker.ports.books import Change, Dossier
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.neighbours import Chapter

log = structlog.get_logger()


UNPAID_LIVES = 3
STILL_HELD = timedelta(hours=3)  # after the end of a quote: its lapse waits for the chain's clock, about an hour slow
SHORTEST = 24  # the shortest quote is this part of `quote_life`


@dataclass(slots=True)
class Quoting(Chapter):
    async def standing(self, root: Root, months: int, text: str, until: datetime | None = None) -> Quote | None:
        """The live quote of (root, months), or a new one; None if the closure is not held or its hold about to end.
        `until`: the quote should live that long, as far as the tariff's notice allows."""
        for _ in attempts("quote"):
            known, now = await self.books.dossier(root, 0), self.clock.now()
            tariff = quoted_at(now, await self.books.tariffs())
            request = known.request
            if request is None or request.sizes is None:
                return None
            longest = now + tariff.notice - MINERS_CLOCKS
            standing = self.live(known, months, tariff)
            if standing and (until is None or standing.expires >= min(until, longest)):
                return standing
            hold = self.hold_ends(known)
            if hold is not None and hold - now < self.terms.quote_life / SHORTEST:
                return None
            ends = min(max(now + self.terms.quote_life, until or now), longest, hold or longest)
            quote = self._make(request, months, text, tariff, now, ends)
            request = request.moved(Event.MEASURED, max(request.due_at or quote.expires, quote.expires))
            if await self.books.commit(Change(requests=(request,), quotes=(quote,))):
                log_quote(quote)
                return quote
        return None

    def live(self, known: Dossier, months: int, tariff: Tariff) -> Quote | None:
        """The live quote under the tariff that is quoted now. None also if the closure is not held: only a promise that
        can be kept is repeated."""
        if known.request is None or known.request.sizes is None:
            return None
        now = self.clock.now()
        of_term = (quote for quote in reversed(known.quotes) if quote.months == months)
        return next((quote for quote in of_term if quote.is_live(now) and quote.tariff == tariff.number), None)

    def hold_ends(self, known: Dossier) -> datetime | None:
        """The end of the hold of an unpaid closure, whoever asks for it; None: a live pin holds it."""
        if any(pin.state in LIVE for pin in known.pins):
            return None
        begun = self.clock.now()
        for quote in reversed(known.quotes):  # back to the first quote since which it was held without a gap
            if begun > quote.expires + STILL_HELD:
                break
            begun = min(begun, quote.issued)
        return begun + UNPAID_LIVES * self.terms.quote_life

    def _make(self, request: Request, months: int, text: str, tariff: Tariff, now: datetime, ends: datetime) -> Quote:
        assert request.sizes is not None
        return Quote(
            id=self.near.new_id(),
            root=request.root,
            cid_text=text,
            months=months,
            amount=fee(tariff, request.sizes.total, months),
            tariff=tariff.number,
            tariff_hash=tariff.hash,
            sizes=request.sizes,
            blocks=request.blocks,
            issued=now,
            expires=ends,
            payment_address=self.terms.payment_address,
            payment_script=self.terms.payment_script,
            network=self.terms.network,
            foreign=request.foreign,
        )

    def missing_quotes(self, known: Dossier, request: Request, tariff: Tariff, now: datetime) -> tuple[Quote, ...]:
        """A quote for each term that the askers want. The longest, if none wants any: it notes the closure's bytes, by
        which payments are judged."""
        terms = {asker.months: asker.text for asker in known.request.askers} if known.request else {}
        if not terms and not known.quotes:
            terms = {self.terms.most_months: known.pins[0].cid_text if known.pins else cid_text(request.root)}
        live = {quote.months for quote in known.quotes if quote.is_live(now) and quote.tariff == tariff.number}
        ends = now + min(self.terms.quote_life, tariff.notice - MINERS_CLOCKS)
        return tuple(
            self._make(request, months, text, tariff, now, ends) for months, text in terms.items() if months not in live
        )


def log_quote(quote: Quote) -> None:
    log.info(
        "quote.given",
        cid=quote.cid_text,
        amount=str(quote.amount),
        months=quote.months,
        tariff=quote.tariff,
        bytes=quote.sizes.total,
        blocks=quote.blocks,
        expires=quote.expires.isoformat(),
        quote=quote.id,
    )
