"""Answers: a repeated NEW-CID gets the standing answer, at most once per CID in two seconds.

An asker within the two seconds gets the answer at their end, so the last asker is always served.

An answer offers something to pay for (a quote, a renewal). While the chain is not seen, the worker offers nothing: it
would not notice a payment, and the payer would wait for a pin that does not come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.money.pricing import Quote, remaining_days
from pinning_worker.domain.money.tariff import quoted_at
from pinning_worker.domain.pin import Asker, Pin, in_other_words, with_asker
from pinning_worker.domain.topic.messages import AddingCid, CidPinnedWithName, Error, Renewal
from pinning_worker.ports.books import Dossier
from pinning_worker.ports.world import Trouble
from pinning_worker.steps.checking import Checking
from pinning_worker.steps.crashes import SET_ASIDE
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.quoting import Quoting
from pinning_worker.steps.signing import Signing

ANSWER_EVERY = timedelta(seconds=2)
MOST_REMEMBERED = 10_000  # answered roots, before the old ones are dropped
UNSEEN = "cannot see the chain at the moment"
UNSEEN_AGAIN_SECONDS = 60
ASIDE_AGAIN_SECONDS = 86_400
QUOTED_TOO_LONG = "it was quoted for days and nobody paid: ask again when it has been let go"
MOMENT_SECONDS = 10
MOST_NAMES = 10  # CID-PINNED-WITH-NAME messages in one answer; also the most askers that wait for one CID


class Served(Enum):
    NOW = "now"
    LATER = "at the end of two seconds"
    NOT = "nothing stands any more"


@dataclass(slots=True)
class Answering(Chapter):
    quoting: Quoting
    signing: Signing
    checking: Checking
    _answered: dict[Root, datetime] = field(default_factory=dict)
    _postponed: dict[Root, list[Asker]] = field(default_factory=dict)

    async def refuse(
        self, askers: Iterable[Asker], code: ErrorCode, message: str, retry_after: int | None = None
    ) -> None:
        for asker in in_other_words(askers):
            await self.announcer.say(Error(asker.text, code, message, asker.id, retry_after))

    async def refuse_denied(self, askers: Iterable[Asker]) -> None:
        await self.refuse(askers, ErrorCode.DENIED, "this operator does not keep that CID")

    async def refuse_crashing(self, askers: Iterable[Asker]) -> None:
        await self.refuse(askers, ErrorCode.INTERNAL, SET_ASIDE, ASIDE_AGAIN_SECONDS)

    async def refuse_unseen(self, askers: Iterable[Asker]) -> None:
        await self.refuse(askers, ErrorCode.BUSY, UNSEEN, UNSEEN_AGAIN_SECONDS)

    async def repeat_limited(self, root: Root, asker: Asker) -> Served:
        """Gives the standing answer, now or two seconds after the last one."""
        waiting = self._postponed.get(root)
        if waiting is not None:
            waiting[:] = with_asker(waiting, asker, MOST_NAMES)
            return Served.LATER
        if not self._rests(root):
            return Served.NOT if await self.answer_now(root, [asker]) else Served.NOW
        self._postponed[root] = [asker]
        return Served.LATER

    def _rests(self, root: Root) -> bool:
        """Whether the last answer is less than two seconds old. One in the future predates a clock set back."""
        last = self._answered.get(root)
        return last is not None and timedelta(0) <= self.clock.now() - last < ANSWER_EVERY

    async def answer_now(self, root: Root, askers: Sequence[Asker]) -> list[Asker]:
        """Gives the standing answer now. Returns the askers without one (any more)."""
        if len(self._answered) > MOST_REMEMBERED:
            self._forget_old()
        self._answered[root] = self.clock.now()
        return await self._answer(root, askers)

    async def say_postponed(self, ask_anew: Callable[[Root, Asker], Awaitable[None]]) -> None:
        """Gives the postponed answers that are due. Calls `ask_anew` for an asker whose standing answer disappeared
        during the two seconds. Raises Trouble: then the askers go on waiting."""
        for root in [root for root in self._postponed if not self._rests(root)]:
            askers = self._postponed.pop(root)
            try:
                for asker in await self.answer_now(root, askers):
                    await ask_anew(root, asker)
            except Trouble:
                self._postponed[root] = [*askers, *self._postponed.get(root, ())][-MOST_NAMES:]
                self._answered[root] = self.clock.now()
                raise
        self._forget_old()

    def _forget_old(self) -> None:
        for root in [root for root in self._answered if not (root in self._postponed or self._rests(root))]:
            del self._answered[root]

    def next_moment(self) -> datetime | None:
        """The time of the first postponed answer."""
        return min((self._answered[root] + ANSWER_EVERY for root in self._postponed), default=None)

    async def _answer(self, root: Root, askers: Sequence[Asker]) -> list[Asker]:
        """Publishes CID-PINNED-WITH-NAME for each standing pin, then the quote from which a browser can pay (again)."""
        if not await self.chain.is_seen():
            await self.refuse_unseen(askers)
            return []
        if self.quoting.terms.blocked(root):  # the list has changed since the request
            await self.refuse_denied(askers)
            return []
        known, unserved = await self._checked(root), []
        for asker in in_other_words(askers):
            for pin in known.naming:
                await self.say_pinned(pin, asker.text, asker.months, asker.id)
            quote = await self._quote(root, known, asker)
            if quote is not None:
                await self.announcer.say(AddingCid(asker.text, quote, asker.id, self.signing.quote_signature(quote)))
            elif again := self._let_go_in(known):
                await self.refuse([asker], ErrorCode.BUSY, QUOTED_TOO_LONG, again)
            else:
                unserved.append(asker)
        return unserved

    async def _quote(self, root: Root, known: Dossier, asker: Asker) -> Quote | None:
        """The quote of the answer's ADDING-CID. Deployed browsers can pay only from that message, so for an image that
        only pinned metadata name it is the quote that CID-PINNED-WITH-NAME has just offered. Of several it is the
        dearest, the image's own included: a payer of it is short for none of them."""
        tariff = quoted_at(self.clock.now(), await self.books.tariffs())
        own = self.quoting.live(known, asker.months, tariff)
        own = own or await self.quoting.standing(root, asker.months, asker.text)
        if own is not None and any(pin.root == root for pin in known.naming):
            return own
        roots = {pin.root: pin.cid_text for pin in known.naming}
        offered = [await self.quoting.standing(each, asker.months, text) for each, text in roots.items()]
        return max((quote for quote in (*offered, own) if quote), key=lambda quote: quote.amount, default=None)

    def _let_go_in(self, known: Dossier) -> int | None:
        """Seconds until the unpaid closure is released; None: it is not held."""
        request = known.request
        if request is None or request.sizes is None or request.due_at is None:
            return None
        return max(MOMENT_SECONDS, round((request.due_at - self.clock.now()).total_seconds()))

    async def _checked(self, root: Root) -> Dossier:
        """The dossier, whose `naming` has only pins that are not blocked and whose blocks are here. It is read again if
        the check found a block missing."""
        known = await self.books.dossier(root, MOST_NAMES)
        whole = [await self.checking.is_kept(pin_root) for pin_root in dict.fromkeys(pin.root for pin in known.naming)]
        if not all(whole):
            known = await self.books.dossier(root, MOST_NAMES)
        return replace(known, naming=tuple(pin for pin in known.naming if not self.quoting.terms.blocked(pin.root)))

    async def say_pinned(self, pin: Pin, text: str, months: int, id_: str | None = None) -> None:
        """Publishes CID-PINNED-WITH-NAME. It offers a renewal, so only while the chain is seen."""
        if not await self.chain.is_seen() or self.quoting.terms.blocked(pin.root):
            return
        quote = await self.quoting.standing(pin.root, months, pin.cid_text)
        if pin.ends is None or quote is None:
            return
        days = remaining_days(pin.ends, self.clock.now())
        await self.announcer.say(CidPinnedWithName(text, pin.name, pin.ends, days, Renewal.of(quote), id_))
