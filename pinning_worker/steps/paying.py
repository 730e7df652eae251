"""Paying: a payment is seen, proven, taken back by a reorg, or gone; a pin is judged by its payments.

An unproven payment enters the books only if a quote waits for it, a few for each root (`unbooked.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import structlog

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.entry import as_assigned
from pinning_worker.domain.money.payment import Payment, PaymentProof, Sighting, Tip, record_sighting
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import TariffLog, least_at, quoted_at
from pinning_worker.domain.pin import LIVE, STANDING, Event, Pin, PinKey, Request, State, step
from pinning_worker.domain.topic.name_row import name_text
from pinning_worker.domain.verdict import Offer, Verdict, judge
from pinning_worker.ports.books import Change
from pinning_worker.steps.bell import Bell
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.crashes import Crashes
from pinning_worker.steps.last_words import LastWords
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.receipts import WrittenReceipts
from pinning_worker.steps.shelf import Shelf
from pinning_worker.steps.signing import Signing
from pinning_worker.steps.tariffs import rates_of
from pinning_worker.steps.two_clocks import TwoClocks
from pinning_worker.steps.unbooked import Unbooked

log = structlog.get_logger()

_PROMISED = LIVE | {State.OWED}
GIVES_WAY, LONGEST_WAY_SECONDS = 4, 2  # how often as long as its judgement a pin waits for its other payments
REORG_LOOKBACK = 1000  # blocks below the tip whose payments are compared with our headers after every start


@dataclass(slots=True)
class Paying(Chapter):
    shelf: Shelf
    receipts: WrittenReceipts
    signing: Signing
    two_clocks: TwoClocks
    crashes: Crashes
    last_words: LastWords
    bell: Bell
    unbooked: Unbooked = field(default_factory=Unbooked)
    _looked_back: bool = False
    _highest: int = -1  # of the tips of this run
    _tariffs_known: TariffLog = ()

    async def seen(self, sighting: Sighting) -> None:
        """A transaction that pays us, proven or not. A repeat changes nothing.

        Without a proof it enters the books only if a quote waits for it, a few for each root (`unbooked.py`).
        """
        if not self.crashes.is_aside(sighting.txid):
            await self.crashes.guard("payment", sighting.txid, partial(self._seen, sighting))

    async def _seen(self, sighting: Sighting) -> None:
        self.unbooked.keep(sighting)  # first: a quote that is stored meanwhile finds it
        for _ in attempts("payment"):
            known = await self.books.payment(sighting.txid)
            payment = await self._as_assigned(record_sighting(known, sighting, self.clock.now()))
            proofs = (sighting.payment_proof,) if sighting.payment_proof is not None else ()
            if payment == known:
                await self._keep_proof(payment, sighting.payment_proof)
                self.unbooked.drop(sighting.txid)
                return await self._give_pin(payment)
            key = PinKey(payment.root, payment.name)
            pin = await self.books.pin(key) if payment.root else None
            quotes = await self.books.quotes(payment.root) if payment.root else ()
            is_taken_back = known is not None and known.proof is not None
            if (
                payment.proof is None
                and not is_taken_back
                and not (self.unbooked.has_place(payment, sighting.shown_by) and (pin or quotes))
            ):
                return None
            if pin is None and not quotes and (not payment.root or payment.amount < await self._least(payment)):
                if await self._book_alone(payment, proofs, is_new=known is None):
                    return None
                continue
            is_new = known is None or (known.proof is None and payment.proof is not None)
            # The version of the request is the guard: with a lapse in between, one of the two commits fails.
            request = await self.books.request(payment.root)
            pin = pin or Pin(payment.root, payment.name, payment.cid_text, step(None, Event.SEEN), None)
            guard = (request,) if request else ()
            change = Change(requests=guard, pins=(pin,), payments=(payment,), payment_proofs=proofs)
            if await self.books.commit(change):
                self.unbooked.note_booked(payment, sighting.shown_by)
                if is_new:
                    self._log_payment(payment, pin)
                return self.bell.nudge(key)
        return None

    async def _as_assigned(self, payment: Payment) -> Payment:
        """The payment with the CID and name that the operator gave it, if it names none (`steps/entering.py`)."""
        return payment if payment.root else as_assigned(payment, await self.books.entries())

    async def _keep_proof(self, payment: Payment, proof: PaymentProof | None) -> None:
        """Keeps the proof of a payment that is booked already, of a version without proofs. Now it can be signed. After
        a start the watcher reports every payment anew: to read is cheaper than to write."""
        if proof is None or await self.books.payment_proof(proof.txid) == proof:
            return
        await self.books.commit(Change(payment_proofs=(proof,)))
        pin = await self.books.pin(PinKey(payment.root, payment.name)) if payment.root else None
        request = await self.books.request(payment.root) if pin is not None and pin.state in STANDING else None
        if pin is not None and request is not None and request.sizes is not None:
            await self.signing.sign_purchases(pin, request)

    async def _least(self, payment: Payment) -> Swartz:
        """The least fee at the payment's block, or now."""
        moment = payment.proof.time if payment.proof else self.clock.now()
        return least_at(moment, await self.books.tariffs())

    async def _book_alone(self, payment: Payment, proofs: tuple[PaymentProof, ...], *, is_new: bool) -> bool:
        """Books money without a pin: it names no CID, or is below the least fee for a CID without a quote. The first
        gets a log line; the second may come by the thousand."""
        if not await self.books.commit(Change(payments=(payment,), payment_proofs=proofs)):
            return False
        self.unbooked.note_booked(payment)
        if is_new and not payment.root:
            log.warning("payment.names_no_cid", txid=payment.txid, amount=str(payment.amount))
        return True

    def _log_payment(self, payment: Payment, pin: Pin) -> None:
        about = {
            "txid": payment.txid,
            "amount": str(payment.amount),
            "cid": pin.cid_text,
            "name": name_text(pin.name),
            "confirmations_needed": self.terms.depth.confirmations,
        }
        if payment.proof is None:
            log.info("payment.seen", **about)
        else:
            log.info("payment.proven", height=payment.proof.height, **about)

    async def gone(self, txid: Txid) -> None:
        """The transaction left the mempool and stands in no block."""
        if not self.crashes.is_aside(txid):
            await self.crashes.guard("payment-gone", txid, partial(self._gone, txid))

    async def _gone(self, txid: Txid) -> None:
        self.unbooked.drop(txid)
        gone = await self._update_payment(txid, lambda payment: replace(payment, gone=payment.proof is None))
        if gone is not None:
            self.unbooked.note_gone(gone)

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        """A new block: confirmations grow; a reorg takes back the proofs in blocks that it replaced."""
        start = fork_height
        # Headers may have moved on while we were down; a new tariff is also honoured two hours before it began.
        tariffs = tuple(await self.books.tariffs())
        if not self._looked_back or tariffs != self._tariffs_known:
            start = min(tip.height - REORG_LOOKBACK, fork_height if fork_height is not None else tip.height)
        seen_all = True
        if start is not None:
            for payment in await self.books.proven_from(start):
                assert payment.proof is not None
                if payment.settled:  # a kill may have left its proof unjudged; `unsettled` has the others
                    self.bell.nudge(PinKey(payment.root, payment.name))
                if payment.proof.height > max(tip.height, self._highest):
                    seen_all = False  # our headers, downloaded anew, do not reach it yet, and prove nothing about it
                    continue
                if self.crashes.is_aside(payment.txid):
                    continue
                if not await self.chain.has_block(payment.proof.height, payment.proof.block_hash):
                    log.warning("payment.reorged", txid=payment.txid, height=payment.proof.height)
                    unproven = partial(self._update_payment, payment.txid, _without_proof)
                    await self.crashes.guard("reorg", payment.txid, unproven)
        self._tariffs_known = tariffs
        self._looked_back, self._highest = seen_all, max(tip.height, self._highest)
        for key in await self.books.unsettled():
            self.bell.nudge(key)
        await self.two_clocks.look_again_at_ends()
        self.bell.ring()  # each block is a chance to notice a moved clock

    async def _update_payment(self, txid: Txid, change: Callable[[Payment], Payment]) -> Payment | None:
        """Stores the changed row, and returns it; None if nothing changed."""
        for _ in attempts("payment"):
            known = await self.books.payment(txid)
            if known is None or (payment := change(known)) == known:
                return None
            key = PinKey(payment.root, payment.name)
            pin = await self.books.pin(key)
            if await self.books.commit(Change(pins=(pin,) if pin else (), payments=(payment,))):
                if pin:  # money that names no CID has none
                    self.bell.nudge(key)
                return payment
        return None

    async def judge(self, key: PinKey) -> None:
        """Judges a pin by its payments; stores the verdict, then announces it."""
        for _ in attempts("judged"):
            pin, tip = await self.books.pin(key), await self.chain.tip()
            if pin is None or tip is None:
                return
            request = await self.books.request(key.root)
            now = self.clock.now()
            payments, quotes = await self.books.payments_of(key), await self.books.quotes(key.root)
            tariffs = await self.books.tariffs()
            verdict = judge(
                pin,
                payments,
                rates_of(tariffs, quotes),
                Offer(quotes, self.terms.least_told(quoted_at(now, tariffs))),
                held=bool(request and request.sizes),
                tip=tip,
                depth=self.terms.depth,
                now=now,
            )
            if verdict.pin == pin and not verdict.payments:
                return
            if await self._was_served(pin, verdict, now):
                ended = pin.moved(Event.ENDED, None, starts=verdict.pin.starts, ends=verdict.pin.ends)
                verdict = replace(verdict, pin=ended)
            # The request's version guards the root's blocks (see lifecycle.py).
            guard = (request,) if request and verdict.pin.state != pin.state else ()
            change = Change(requests=guard, pins=(verdict.pin,), payments=verdict.payments)
            if verdict.uncounted(payments):
                buyers = verdict.account.buyers
                await self.receipts.close(payment for payment in payments if payment.txid not in buyers)
            if pin.state in _PROMISED and verdict.pin.state in (State.RELEASED, State.SHORT):
                await self.receipts.close(payments)
            async with self.last_words.told_once_stored():
                if pin.keeps and not verdict.pin.keeps:
                    stored = await self.shelf.let_go(verdict.pin, change)
                else:
                    stored = await self.books.commit(change)
                if stored:
                    _log_turn(pin, verdict.pin)
                    for message in verdict.say:
                        await self.announcer.say(message)
            if stored:
                return self.bell.ring()
            if await self._gives_way(pin, request, now):
                return self.bell.nudge(key)

    async def _was_served(self, pin: Pin, verdict: Verdict, now: datetime) -> bool:
        """Whether a pin that is new to the books had its whole term already, as a receipt of earlier books says."""
        ends = verdict.pin.ends
        is_over = pin.state is State.SEEN and verdict.pin.state is State.OWED and ends is not None and ends <= now
        return is_over and await self.receipts.was_served(verdict.pin, verdict.account.buyers)

    async def _gives_way(self, pin: Pin, request: Request | None, since: datetime) -> bool:
        """Whether payments of the pin, or under other names of its root, come faster than it is judged. If so, leaves
        them most of the time: a block may hold thousands, a judgement reads all of a pin, and none of that is a fault
        of ours."""
        if (await self.books.pin(pin.key), await self.books.request(pin.root)) == (pin, request):
            return False
        took = (self.clock.now() - since).total_seconds()
        await self.clock.sleep(min(max(0, GIVES_WAY * took), LONGEST_WAY_SECONDS))
        return True

    async def look_again(self, root: Root) -> None:
        """Books the payments that came before the root's first quote. Those below the least fee are in the books, and
        get their pins: together they may cover a month."""
        for sighting in self.unbooked.seen_for(root):
            await self.seen(sighting)
        for key in await self.books.paid_without_pin(root):
            for payment in await self.books.payments_of(key):
                if not self.crashes.is_aside(payment.txid):
                    await self.crashes.guard("payment", payment.txid, partial(self._give_pin, payment))

    async def _give_pin(self, payment: Payment) -> None:
        """Gives a booked payment the pin that it lacks once its root is quoted. After a kill, a start's report does."""
        for _ in attempts("payment"):
            key = PinKey(payment.root, payment.name)
            is_served = not payment.root or payment.proof is None or await self.books.pin(key) is not None
            if is_served or not await self.books.quotes(payment.root):
                return
            pin = Pin(payment.root, payment.name, payment.cid_text, step(None, Event.SEEN), None)
            request = await self.books.request(payment.root)
            if await self.books.commit(Change(requests=(request,) if request else (), pins=(pin,))):
                return self.bell.nudge(key)


def _without_proof(payment: Payment) -> Payment:
    return replace(payment, proof=None)


def _log_turn(before: Pin, after: Pin) -> None:
    if before.state is not after.state:
        level = log.error if after.state in (State.OWED, State.CREDIT, State.SUSPENDED) else log.info
        level(
            f"pin.{after.state.value}",
            cid=after.cid_text,
            name=name_text(after.name),
            was=before.state.value,
            reason=after.reason,
        )
