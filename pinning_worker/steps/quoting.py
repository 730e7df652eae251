"""Quotes: one stands for each (root, months); it is repeated while it lives, renewed when it lapsed.

A quote needs a closure that is wholly held, and keeps it held: the request's `due_at` is never before the last quote's
end. It is a promise: its price outlives a price change.

An unpaid closure is held for UNPAID_LIVES quote lives at most, however often it is quoted anew (for other months, say):
the last quote ends with the hold. After it the content is fetched again, if there is room for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.money.pricing import Quote, fee
from pinning_worker.domain.pin import LIVE, Event, Request
from pinning_worker.ports.books import Change, Dossier
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.neighbours import Chapter

log = structlog.get_logger()


UNPAID_LIVES = 3
SHORTEST = 24  # the shortest quote is this part of `quote_life`


@dataclass(slots=True)
class Quoting(Chapter):
    async def standing(self, root: Root, months: int, text: str) -> Quote | None:
        """The live quote of (root, months), or a new one; None if the closure is not held or its hold about to end."""
        for _ in attempts("quote"):
            known = await self.books.dossier(root, 0)
            request = known.request
            if request is None or request.sizes is None:
                return None
            if standing := self.live(known, months):
                return standing
            now = self.clock.now()
            if (hold := self.hold_ends(known)) is not None and hold - now < self.terms.quote_life / SHORTEST:
                return None
            quote = self._make(request, months, text, now, hold)
            request = request.moved(Event.MEASURED, max(request.due_at or quote.expires, quote.expires))
            if await self.books.commit(Change(requests=(request,), quotes=(quote,))):
                log_quote(quote)
                return quote
        return None

    def live(self, known: Dossier, months: int) -> Quote | None:
        """The live quote. None also if the closure is not held: only a promise that can be kept is repeated."""
        if known.request is None or known.request.sizes is None:
            return None
        now = self.clock.now()
        return next((q for q in reversed(known.quotes) if q.months == months and q.is_live(now)), None)

    def hold_ends(self, known: Dossier) -> datetime | None:
        """The end of the hold of an unpaid closure, whoever asks for it; None: a live pin holds it."""
        if any(pin.state in LIVE for pin in known.pins):
            return None
        begun = self.clock.now()
        for quote in reversed(known.quotes):  # back to the first quote since which it was held without a gap
            if begun > quote.expires:
                break
            begun = min(begun, quote.issued)
        return begun + UNPAID_LIVES * self.terms.quote_life

    def _make(
        self, request: Request, months: int, text: str, now: datetime, hold_ends: datetime | None = None
    ) -> Quote:
        assert request.sizes is not None
        return Quote(
            id=self.near.new_id(),
            root=request.root,
            cid_text=text,
            months=months,
            amount=fee(self.terms.prices, request.sizes.total, months),
            price_version=self.terms.prices.version,
            sizes=request.sizes,
            blocks=request.blocks,
            issued=now,
            expires=min(now + self.terms.quote_life, hold_ends) if hold_ends else now + self.terms.quote_life,
            payment_address=self.terms.payment_address,
            payment_script=self.terms.payment_script,
            network=self.terms.network,
            foreign=request.foreign,
        )

    def missing_quotes(self, known: Dossier, request: Request, now: datetime) -> tuple[Quote, ...]:
        """A quote for each term that the askers want; for every term if a payment came before any quote."""
        terms = {asker.months: asker.text for asker in known.request.askers} if known.request else {}
        if known.pins and not known.quotes:
            terms = dict.fromkeys(range(1, self.terms.most_months + 1), known.pins[0].cid_text) | terms
        live = {quote.months for quote in known.quotes if quote.is_live(now)}
        return tuple(self._make(request, months, text, now) for months, text in terms.items() if months not in live)


def log_quote(quote: Quote) -> None:
    log.info(
        "quote.given",
        cid=quote.cid_text,
        amount=str(quote.amount),
        months=quote.months,
        bytes=quote.sizes.total,
        blocks=quote.blocks,
        expires=quote.expires.isoformat(),
        quote=quote.id,
    )
