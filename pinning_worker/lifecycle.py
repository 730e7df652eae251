"""The story of a pin, top to bottom.

    NEW-CID -> fetch the closure -> quote -> payment proven -> pin + audit -> announce -> remind -> expire

Four ideas keep it small:
1. `due_at` is the scheduler. Retries, lapses, reminders, expiry and recovery after a crash are one loop over one
   question: what is due now?
2. Compare and swap. A step reads, decides (purely, in `domain`), stores only if nobody was faster, and only then
   speaks. A refused step changes nothing and is taken again.
3. A doorbell, not a queue. The truth is in the books; ringing wakes the loop. Nothing is lost when a task dies,
   because no task owns a fact.
4. Announce after the books know. Gossip is lossy; a repeated NEW-CID repeats the standing answer.

Whoever changes what a root holds (pins it, lets it go, finds it damaged) stores that root's request in the same
change, so that its version guards the decision. What each part knows for itself is in `steps/`: fetching, quoting,
answering, the shelf of blocks, and the loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog
import trio
from trio_typing import TaskStatus

from pinning_worker.domain.content.cid import cid_from_bytes, cid_text
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.money.payment import Payment, Sighting, Tip, record_sighting
from pinning_worker.domain.money.pricing import Quote, months_to_sell, remaining_days
from pinning_worker.domain.money.receipt import Receipt, receipt_key
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import (
    ACTIVE,
    LIVE,
    STANDING,
    Asker,
    Event,
    Pin,
    PinKey,
    Request,
    State,
    next_reminder,
    reminders_over,
    step,
)
from pinning_worker.domain.topic.messages import AddedCid, Error, ExpiredCid, ExpiringCid, Renewal
from pinning_worker.domain.topic.name_row import name_text
from pinning_worker.domain.topic.requests import Ask, BadAsk
from pinning_worker.domain.verdict import judge
from pinning_worker.ports import Announcer, Blocks, Books, Chain, Change, Clock, CrashNotes, Dossier, Fetcher, Receipts
from pinning_worker.steps.answering import Answering, Served
from pinning_worker.steps.checking import Checking
from pinning_worker.steps.compare_and_swap import attempts
from pinning_worker.steps.crashes import Crashes
from pinning_worker.steps.due import DueLoop
from pinning_worker.steps.fetching import KEEP_REFUSED, Fetching
from pinning_worker.steps.queue import Queue
from pinning_worker.steps.quoting import Quoting
from pinning_worker.steps.shelf import NoRelease, Release, Shelf
from pinning_worker.steps.terms import Terms
from pinning_worker.steps.turns import Turn
from pinning_worker.steps.unbooked import Unbooked

log = structlog.get_logger()

MEMPOOL_GRACE = timedelta(hours=24)
CLOCKS_AGAIN = timedelta(minutes=10)
CLOCKS_APART = timedelta(days=1)
UNSEEN_AGAIN = timedelta(minutes=10)
QUEUE_AGAIN_SECONDS = 30
OWED_FIRST_RETRY, OWED_LAST_RETRY = timedelta(minutes=1), timedelta(hours=6)
REORG_LOOKBACK = 1000  # blocks below the tip that are compared with our headers after every start


@dataclass(slots=True)
class Lifecycle:
    """The doors to the story are `asked`, `ill_asked` and the three of a ChainListener; `run` keeps it going."""

    terms: Terms
    clock: Clock
    books: Books
    blocks: Blocks
    receipts: Receipts
    fetcher: Fetcher
    announcer: Announcer
    chain: Chain
    new_id: Callable[[], str]
    crash_notes: CrashNotes
    note_metadata: Callable[[bytes, bool], Awaitable[None]] | None = None
    release: Release = field(default_factory=NoRelease)
    has_last_words: bool = False  # its end waits until what is stored is said; a death does not

    quoting: Quoting = field(init=False)
    answering: Answering = field(init=False)
    shelf: Shelf = field(init=False)
    fetching: Fetching = field(init=False)
    checking: Checking = field(init=False)
    due: DueLoop = field(init=False)
    crashes: Crashes = field(init=False)
    queue: Queue = field(init=False)
    unbooked: Unbooked = field(default_factory=Unbooked)
    _past_end: set[PinKey] = field(default_factory=set)  # ended by our clock, not yet by the chain's
    _looked_back: bool = False
    _highest: int = -1  # of the tips that were told in this run

    def __post_init__(self) -> None:
        self.crashes = Crashes(self.crash_notes)
        self.queue = Queue(self.books, self.clock, self.terms)
        self.quoting = Quoting(self.terms, self.clock, self.books, self.new_id)
        self.checking = Checking(self.books, self.blocks, self.clock, self.crashes, self._damaged)
        self.answering = Answering(
            self.clock, self.books, self.announcer, self.chain, self.quoting, self.checking, self._take_up
        )
        self.blocks.found_broken = self.checking.note_broken
        self.shelf = Shelf(
            self.books, self.blocks, self.receipts, self.clock, self.chain, self.terms.quarantine, self.release
        )
        self.fetching = Fetching(
            self.terms,
            self.clock,
            self.books,
            self.blocks,
            self.fetcher,
            self.announcer,
            self.quoting,
            self.answering,
            self.shelf,
            self.nudge,
            self.note_metadata,
        )
        self.due = DueLoop(
            self.terms,
            self.clock,
            self.books,
            self.chain,
            self.shelf,
            self.answering,
            self.crashes,
            judge=self._judge,
            fetch=self._fetch,
            turn_away=self._turn_away,
            displace=self._displace,
            lapse=self._lapse,
            step=self._step,
        )

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled, from wherever the books say that everything stands."""
        self.crashes.tell_aside()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.checking.run)
            await nursery.start(self.due.run)
            task_status.started()

    def ring(self) -> None:
        self.due.ring()

    def nudge(self, key: PinKey) -> None:
        """This pin's payments, or what is held for it, may have changed."""
        self.due.nudge(key)

    # ------------------------------------------------------------ NEW-CID

    async def asked(self, ask: Ask, peer: str, through: str, address: str = "") -> None:
        """A NEW-CID: the standing answer if there is one, else a place in the queue, where it is one with all that ask
        for the same CID. `peer` signed it, `through` handed it to us (peer ids, often the same) from `address`."""
        months = months_to_sell(ask.months, self.terms.most_months)
        asker = Asker(ask.text, ask.id, months, peer, ask.origins, through, address)
        if self.terms.denied(ask.cid) or self.terms.blocked(ask.cid.key):
            return await self.answering.refuse_denied([asker])
        if self.crashes.is_aside(ask.cid.key):
            return await self.answering.refuse_crashing([asker])
        if not await self.chain.is_seen():
            return await self.answering.refuse_unseen([asker])
        await self.crashes.guard("ask", ask.cid.key, partial(self._take_up, ask.cid.key, asker))

    async def _take_up(self, root: bytes, asker: Asker) -> None:
        for _ in attempts("asked"):
            known = await self.books.dossier(root, 1)
            request = known.request
            if await self._stands(root, known):
                match await self.answering.soon(root, asker):
                    case Served.NOW:
                        return None
                    case Served.LATER:
                        return self.ring()
                    case Served.NOT:  # it was let go at this very moment
                        continue
            is_new = request is None or request.state not in ACTIVE
            if is_new and (full := await self._queue_full(asker)):
                return await self.answering.refuse([asker], ErrorCode.BUSY, full, retry_after=QUEUE_AGAIN_SECONDS)
            request = _asked(request, root, self.clock.now()).with_asker(asker)
            if await self.books.commit(Change(requests=(request,))):
                self.queue.note(request)
                if is_new:  # who asks for the same is counted, not logged
                    log.info("request.taken", cid=asker.text, months=asker.months, peer=asker.peer)
                return self.ring() if root not in self.due.being_fetched else None
        return None

    async def _stands(self, root: bytes, known: Dossier) -> bool:
        """Whether there is an answer to repeat: the quote of what is held here, or of the pin that names it."""
        if known.request is not None and known.request.sizes is not None:
            return True
        for pin in known.naming:
            request = await self.books.request(pin.root) if pin.root != root else None
            if request is not None and request.sizes is not None:
                return True
        return False

    async def ill_asked(self, bad: BadAsk) -> None:
        """A request form that can only be refused."""
        await self.announcer.say(Error(bad.text, bad.code, bad.message, bad.id))

    async def _has_places(self) -> bool:
        """What nobody waits for, and nobody has paid for, takes no more than half of the queue: one block may be part
        of thousands of quotes."""
        return await self.books.active_requests(paid_for=False) < self.terms.most_active // 2

    async def _queue_full(self, asker: Asker) -> str | None:
        """Why there is no place for it. In a full queue the greediest makes room, if that is somebody else."""
        admission = await self.queue.admit(asker, self.due.being_fetched, self.due.displaced)
        if admission.instead_of is not None:
            self.due.make_leave(admission.instead_of)
        return admission.refused

    async def _turn_away(self, request: Request) -> None:
        self.queue.leaves(request.root)
        await self.fetching.turn_away(request)

    async def _displace(self, request: Request) -> None:
        """It leaves no row behind: a queue that is full all day long fills no disk."""
        await self.fetching.displace(request)
        refused = await self.books.request(request.root)
        if refused is not None and refused.state is State.REFUSED:
            await self._forget(refused, await self.books.pins_of(request.root))

    # ------------------------------------------------------------ fetch, quote

    async def _fetch(self, request: Request, turn: Turn) -> None:
        try:
            await self.fetching.fetch(request, turn)
        finally:
            self.queue.leaves(request.root)
        for sighting in self.unbooked.seen_for(request.root):  # whoever paid before there was a quote
            await self.payment_seen(sighting)

    # ------------------------------------------------------------ payment

    async def payment_seen(self, sighting: Sighting) -> None:
        """A transaction that pays us, proven or not. Said again it changes nothing.

        Without a proof it enters the books only where a quote waits for it, and a few for each root (`unbooked.py`).
        """
        if not self.crashes.is_aside(sighting.txid):
            await self.crashes.guard("payment", sighting.txid, partial(self._payment_seen, sighting))

    async def _payment_seen(self, sighting: Sighting) -> None:
        self.unbooked.keep(sighting)  # first: a quote that is given while we look finds it
        for _ in attempts("payment"):
            known = await self.books.payment(sighting.txid)
            payment = record_sighting(known, sighting, self.clock.now())
            if payment == known:
                return self.unbooked.drop(sighting.txid)
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
            if pin is None and not quotes and (not payment.root or payment.amount < self.terms.prices.least):
                if await self._book_alone(payment, is_new=known is None):
                    return None
                continue
            is_new = known is None or (known.proof is None and payment.proof is not None)
            request = await self.books.request(payment.root)  # it holds its blocks from now on: no lapse overlooks it
            pin = pin or _first_seen(payment, quotes)
            guard = (request,) if request else ()
            if await self.books.commit(Change(requests=guard, pins=(pin,), payments=(payment,))):
                self.unbooked.note_booked(payment, sighting.shown_by)
                if is_new:
                    self._log_payment(payment, pin)
                return self.nudge(key)
        return None

    async def _book_alone(self, payment: Payment, *, is_new: bool) -> bool:
        """Money without a pin: it names no CID, or one that nobody was quoted and brings less than the least fee. The
        first is worth a line; the second comes by the thousand."""
        if not await self.books.commit(Change(payments=(payment,))):
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

    async def payment_gone(self, txid: str) -> None:
        """It left the mempool and stands in no block."""
        if not self.crashes.is_aside(txid):
            await self.crashes.guard("payment-gone", txid, partial(self._payment_gone, txid))

    async def _payment_gone(self, txid: str) -> None:
        self.unbooked.drop(txid)
        gone = await self._update_payment(txid, lambda payment: replace(payment, gone=payment.proof is None))
        if gone is not None:
            self.unbooked.note_gone(gone)

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        """A new block: confirmations grow; in a reorg proofs that no longer stand are taken back."""
        start = fork_height
        if not self._looked_back:  # headers may have moved on while we were down
            start = min(tip.height - REORG_LOOKBACK, fork_height if fork_height is not None else tip.height)
        seen_all = True
        if start is not None:
            for payment in await self.books.proven_from(start):
                assert payment.proof is not None
                if payment.settled:  # who was killed may have stored a proof unjudged; the others are looked up below
                    self.nudge(PinKey(payment.root, payment.name))
                if payment.proof.height > max(tip.height, self._highest):
                    seen_all = False  # our headers do not reach it yet: they are had anew, and say nothing of it
                    continue
                if self.crashes.is_aside(payment.txid):
                    continue
                if not await self.chain.has_block(payment.proof.height, payment.proof.block_hash):
                    log.warning("payment.reorged", txid=payment.txid, height=payment.proof.height)
                    unproven = partial(self._update_payment, payment.txid, _without_proof)
                    await self.crashes.guard("reorg", payment.txid, unproven)
        self._looked_back, self._highest = seen_all, max(tip.height, self._highest)
        for key in await self.books.unsettled():
            self.nudge(key)
        await self._look_again_at_ends()
        self.ring()  # a block is a good moment to see whether the clock was moved

    async def _look_again_at_ends(self) -> None:
        """Pins whose end our clock has passed and the chain's had not, before this block."""
        keys, self._past_end = self._past_end, set()
        for key in keys:
            pin = await self.books.pin(key)
            if pin is not None and pin.due_at is not None and pin.state in STANDING | {State.OWED}:
                await self.books.commit(Change(pins=(replace(pin, due_at=self.clock.now()),)))

    def _told_once_stored(self) -> trio.CancelScope:
        """What the books say was told is not told again after the next start: the end comes after it."""
        return trio.CancelScope(shield=self.has_last_words)

    async def _update_payment(self, txid: str, change: Callable[[Payment], Payment]) -> Payment | None:
        """The row as it is now, where that changed it."""
        for _ in attempts("payment"):
            known = await self.books.payment(txid)
            if known is None or (payment := change(known)) == known:
                return None
            key = PinKey(payment.root, payment.name)
            pin = await self.books.pin(key)
            if await self.books.commit(Change(pins=(pin,) if pin else (), payments=(payment,))):
                self.nudge(key)
                return payment
        return None

    async def _judge(self, key: PinKey) -> None:
        """What the payments of a pin mean now; stored, then spoken."""
        for _ in attempts("judged"):
            pin, tip = await self.books.pin(key), await self.chain.tip()
            if pin is None or tip is None:
                return
            request = await self.books.request(key.root)
            payments = await self.books.payments_of(key)
            verdict = judge(
                pin,
                payments,
                await self.books.quotes(key.root),
                held=bool(request and request.sizes),
                tip=tip,
                depth=self.terms.depth,
                now=self.clock.now(),
            )
            if verdict.pin == pin and not verdict.payments:
                return
            # The request's version guards what this root holds (see the module's docstring).
            guard = (request,) if request and verdict.pin.state != pin.state else ()
            change = Change(requests=guard, pins=(verdict.pin,), payments=verdict.payments)
            await self._close_receipts(verdict.undone(payments))
            with self._told_once_stored():
                if pin.keeps and not verdict.pin.keeps:
                    stored = await self.shelf.let_go(verdict.pin, change)
                else:
                    stored = await self.books.commit(change)
                if stored:
                    _log_turn(pin, verdict.pin)
                    for message in verdict.say:
                        await self.announcer.say(message)
            if stored:
                return self.ring()

    # ------------------------------------------------------------ pin, audit, announce

    async def _keep(self, pin: Pin) -> None:
        """CONFIRMED: every block synced, read back and hashed; then the record; then "pinned"; then the news."""
        held = await self.books.held(pin.root)
        await self.blocks.sync(held)
        bad = await self.blocks.audit(held)
        request = await self.books.request(pin.root)
        if bad or not held or request is None or request.sizes is None:
            return await self._damaged(pin.root, bad)
        self.checking.note_kept(pin.root)
        await self._write_receipts(pin, request)
        assert pin.ends is not None
        assert pin.starts is not None
        begun = max(self.clock.now(), pin.starts)  # a header's time may be ahead of ours
        pinned = pin.moved(Event.AUDITED, None, attempts=0, reminded=reminders_over(pin.ends, begun, pin.reminded))
        pinned = replace(pinned, due_at=self._next_look(pinned))
        with self._told_once_stored():
            if not await self.books.commit(Change(requests=(request,), pins=(pinned,))):
                return None
            self._log_kept(pinned, request)
            if not self.terms.blocked(pin.root):
                await self.announcer.say(AddedCid(pin.cid_text))
                await self.answering.say_pinned(pinned, pin.cid_text, self.terms.most_months)
        return None

    def _log_kept(self, pin: Pin, request: Request) -> None:
        assert pin.starts is not None
        assert pin.ends is not None
        log.info(
            "pin.kept",
            cid=pin.cid_text,
            name=name_text(pin.name),
            starts=pin.starts.isoformat(),
            ends=pin.ends.isoformat(),
            bytes=request.sizes.total if request.sizes else 0,
            blocks=request.blocks,
        )

    async def _damaged(self, root: bytes, bad: Collection[bytes]) -> None:
        """Blocks of a root are missing or broken: they are put aside and fetched again. Until they are back we owe them
        to every name of every root that holds them. A quote of what is not whole is none."""
        await self.shelf.put_aside(tuple(bad))
        holders = set[bytes]().union(*(await self.books.holders(bad)).values())
        for each in (root, *sorted(holders - {root})):
            self.checking.note_damaged(each)
            await self._owe(each, bad)

    async def _owe(self, root: bytes, bad: Collection[bytes]) -> None:
        for _ in attempts("damaged"):
            known, now = await self.books.dossier(root, 0), self.clock.now()
            live = [pin for pin in known.pins if pin.state in LIVE]
            if not live and (known.request is None or known.request.sizes is None):
                return
            log.error("audit.failed", cid=cid_text(root), bad_blocks=len(bad), owed_to=len(live))
            owed = tuple(each.moved(Event.OWES, now, reason="blocks were lost or broken on disk") for each in live)
            request, release = known.request, tuple[bytes, ...]()
            if request is not None and request.state in (State.QUOTED, State.LAPSED):
                if live or await self._has_places():
                    request = request.moved(Event.DAMAGED, now, sizes=None)  # asked for again: somebody may yet pay
                else:  # who does is owed it
                    request, release = request.moved(Event.LAPSED, None, sizes=None), (root,)
            change = Change(requests=(request,) if request else (), pins=owed, release=release)
            if await self.shelf.store_and_free(change, was_paid=False):
                for each in owed:
                    self.nudge(each.key)  # one on credit is no debt: nothing is proven
                return self.ring()

    async def _write_receipts(self, pin: Pin, request: Request, released_at: datetime | None = None) -> None:
        """The metadata record of each payment that bought this pin; written before the pin says so, repeatable."""
        assert request.sizes is not None
        assert pin.starts is not None
        assert pin.ends is not None
        for payment in await self.books.payments_of(pin.key):
            if payment.bought is None:
                continue
            receipt = Receipt(
                cid=cid_text(pin.root),
                name_id=name_text(pin.name),
                txid=payment.txid,
                file_name=request.file_name,
                size=request.sizes.total,
                blocks=request.blocks,
                received=payment.amount,
                fee=payment.bought.amount,
                months=payment.bought.months,
                quote_id=payment.bought.quote_id,
                pinned_at=self.clock.now(),
                starts=pin.starts,
                ends=pin.ends,
                released_at=released_at,
            )
            known = await self.receipts.get(receipt.key)
            await self.receipts.put(replace(receipt, pinned_at=known.pinned_at) if known else receipt)

    async def _close_receipts(self, undone: Iterable[Payment]) -> None:
        """A purchase that a reorg took back, or whose blocks never came back, holds nothing any more; what is pinned
        again has its record written again."""
        for payment in undone:
            receipt = await self.receipts.get(receipt_key(cid_text(payment.root), payment.txid))
            if receipt is not None:
                await self.receipts.put(replace(receipt, released_at=self.clock.now()))

    async def _retry_owed(self, pin: Pin) -> None:
        """Paid, but the content is not here: ask for it again, further and further apart, while the term runs."""
        now = self.clock.now()
        over = pin.ends is not None and pin.ends <= now and await self._is_over_by_chain(pin, now)
        wait = min(OWED_FIRST_RETRY * 2 ** min(pin.attempts, 16), OWED_LAST_RETRY)
        if pin.attempts:  # of the first one "pin.owed" has just been logged
            log.error("pin.still_owed", cid=pin.cid_text, name=name_text(pin.name), why=pin.reason, tried=pin.attempts)
        if pin.ends is None and await self._is_dust(pin):
            await self.books.commit(Change(pins=(pin.moved(Event.OWES, None, reason=_DUST),)))
            return
        request = await self.books.request(pin.root)
        denied = self.terms.denied(cid_from_bytes(pin.root))
        idle = request is None or request.state in (State.REFUSED, State.LAPSED, State.STALLED)
        is_asked = idle and not over and not denied and not (request and request.sizes)
        again = (_asked(request, pin.root, now),) if is_asked else ()
        reason = _TERM_ENDED if over else _DENIED if denied else pin.reason
        owed = pin.moved(Event.OWES, None if over else now + wait, attempts=pin.attempts + 1, reason=reason)
        if over:  # what is left of it is kept no longer
            await self._close_receipts(await self.books.payments_of(pin.key))
            await self.shelf.let_go(owed, Change(requests=(request,) if request else (), pins=(owed,)))
        elif await self.books.commit(Change(requests=again, pins=(owed,))):
            self.ring()
            if request and request.sizes:
                self.nudge(pin.key)

    async def _is_dust(self, pin: Pin) -> bool:
        """Booked by a version that owed whatever came in: nobody was quoted, and all that came is less than any fee."""
        if await self.books.quotes(pin.root):
            return False
        brought = Swartz.total(payment.amount for payment in await self.books.payments_of(pin.key) if payment.proof)
        return brought < self.terms.prices.least

    def look_again(self) -> None:
        """The operator has changed something: what he released may go now."""
        self.shelf.look_again()
        self.ring()

    async def denylist_changed(self) -> None:
        """What is blocked is told to the operator; what is owed and no longer denied is asked for now."""
        for pin in await self.books.all_pins():
            if pin.state in LIVE and self.terms.blocked(pin.root):
                log.warning("pin.blocked", cid=pin.cid_text, name=name_text(pin.name), reason=_DENIED)
            elif pin.reason == _DENIED and not self.terms.denied(cid_from_bytes(pin.root)):
                await self.books.commit(Change(pins=(replace(pin, due_at=self.clock.now(), reason="", attempts=0),)))
        self.ring()

    # ------------------------------------------------------------ remind, expire

    def _next_look(self, pin: Pin) -> datetime | None:
        assert pin.ends is not None
        reminder = next_reminder(pin.ends, self.clock.now(), pin.reminded)
        return reminder[1] if reminder else pin.ends

    async def _remind_or_end(self, pin: Pin) -> None:
        now = self.clock.now()
        assert pin.ends is not None
        reminder = next_reminder(pin.ends, now, pin.reminded)
        if pin.ends <= now:
            await self._end(pin)
        elif reminder and reminder[1] <= now:
            await self._remind(pin, reminder[0])
        else:
            await self.books.commit(Change(pins=(replace(pin, due_at=self._next_look(pin)),)))

    async def _remind(self, pin: Pin, days: int) -> None:
        """It offers a renewal, so it waits until the chain is seen."""
        if not await self.chain.is_seen():
            await self.books.commit(Change(pins=(replace(pin, due_at=self.clock.now() + UNSEEN_AGAIN),)))
            return
        quote = await self.quoting.standing(pin.root, self.terms.most_months, pin.cid_text)
        reminded = pin.moved(Event.REMINDED, None, reminded=days)
        reminded = replace(reminded, due_at=self._next_look(reminded))
        with self._told_once_stored():
            if not await self.books.commit(Change(pins=(reminded,))):
                return
            if quote is not None and pin.ends is not None and not self.terms.blocked(pin.root):
                left = remaining_days(pin.ends, self.clock.now())
                await self.announcer.say(ExpiringCid(pin.cid_text, pin.name, pin.ends, left, Renewal.of(quote)))

    async def _end(self, pin: Pin) -> None:
        """The term is over when two clocks say so: ours, and the median time of the last 11 verified headers."""
        now = self.clock.now()
        assert pin.ends is not None
        if not await self._is_over_by_chain(pin, now):
            await self.books.commit(Change(pins=(replace(pin, due_at=now + CLOCKS_AGAIN),)))
            return
        renewed = await self._awaited_until([pin], now)
        if renewed is not None and renewed > now:  # paid for longer, and not deep enough to count
            await self.books.commit(Change(pins=(replace(pin, due_at=renewed),)))
            return
        await self._lapse_if_over(pin.root)
        request = await self.books.request(pin.root)
        if request is not None and request.sizes is not None:
            await self._write_receipts(pin, request, released_at=now)
        ended = pin.moved(Event.ENDED, None)
        with self._told_once_stored():
            if await self.shelf.let_go(ended, Change(requests=(request,) if request else (), pins=(ended,))):
                log.info("pin.ended", cid=pin.cid_text, name=name_text(pin.name), ended=pin.ends.isoformat())
                await self.announcer.say(ExpiredCid(pin.cid_text, pin.name, pin.ends))

    async def _is_over_by_chain(self, pin: Pin, now: datetime) -> bool:
        """Asked once it is over by our clock. While the chain says no, each block is a moment to look again."""
        self._past_end.add(pin.key)  # first: the block that settles it may come while we look
        tip = await self.chain.tip()
        assert pin.ends is not None
        if tip is not None and tip.median_time >= pin.ends:
            if not await self.chain.is_read():  # it may have been renewed
                return False
            self._past_end.discard(pin.key)
            return True
        if tip is None or abs(now - tip.median_time) > CLOCKS_APART:
            chain = tip.median_time.isoformat() if tip is not None else None
            log.error("clock.disagrees", ours=now.isoformat(), chain=chain, effect="nothing is freed")
        return False

    async def _lapse_if_over(self, root: bytes) -> None:
        """A quote that has run out holds nothing: its lapse is due, but must not come after the news of the end."""
        request = await self.books.request(root)
        if request is None or request.state not in (State.QUOTED, State.STALLED) or request.due_at is None:
            return
        if request.due_at <= self.clock.now():
            await self._lapse(request)

    async def _lapse(self, request: Request) -> None:
        """Nobody paid in time. A payment on its way holds the blocks: in a block until it is deep enough, in the
        mempool for 24 hours more."""
        now = self.clock.now()
        pins = await self.books.pins_of(request.root)
        if request.state is State.REFUSED:
            return await self._forget(request, pins)
        # Somebody may have paid in time: that is known once the chain is seen (again), and read.
        if not (await self.chain.is_seen() and await self.chain.is_read()):
            await self.books.commit(Change(requests=(replace(request, due_at=now + UNSEEN_AGAIN),)))
            return
        until = await self._awaited_until([pin for pin in pins if pin.state not in LIVE], now)
        if until is not None and until > now:
            await self.books.commit(Change(requests=(replace(request, due_at=until),)))
            return
        kept = any(pin.keeps for pin in pins)
        forget_at = now + KEEP_REFUSED if request.state is State.STALLED else None
        lapsed = request.moved(Event.LAPSED, forget_at, sizes=request.sizes if kept else None, staged_for=())
        release = () if kept else (request.root,)
        change = Change(requests=(lapsed,), release=release)
        stored = await self.shelf.store_and_free(change, was_paid=any(pin.was_bought for pin in pins))
        if stored and not kept:  # nothing went for a renewal's
            log.info("quote.lapsed", cid=cid_text(request.root))

    async def _forget(self, request: Request, pins: Iterable[Pin]) -> None:
        """A refused request that nobody paid for leaves the books: who asks for what does not exist fills no disk."""
        if any(pins) or await self.books.quotes(request.root):
            await self.books.commit(Change(requests=(replace(request, due_at=None),)))
        else:
            await self.books.commit(Change(forget=(request,)))

    async def _awaited_until(self, pins: Iterable[Pin], now: datetime) -> datetime | None:
        latest: datetime | None = None
        for pin in pins:
            for payment in await self.books.payments_of(pin.key):
                if payment.settled or payment.gone:
                    continue
                ends = [quote.expires for quote in await self.books.quotes(pin.root)]
                until = now + timedelta(hours=1) if payment.proof else max(ends, default=now) + MEMPOOL_GRACE
                latest = max(latest or until, until)
        return latest

    # ------------------------------------------------------------ what is due

    async def _step(self, pin: Pin) -> None:
        """What is due for a pin, by its state; a pin that waits for the chain is never due."""
        match pin.state:
            case State.CONFIRMED:
                await self._keep(pin)
            case State.OWED:
                await self._retry_owed(pin)
            case State.PINNED | State.EXPIRING:
                await self._remind_or_end(pin)
            case State.CREDIT:
                await self._end(pin)
            case _:
                raise AssertionError(f"a pin that is {pin.state.value} has nothing due")


_DUST = "less than the least fee, for what nobody was quoted"
_TERM_ENDED, _DENIED = "its term ended before the content could be had", "on the operator's denylist"


def _asked(request: Request | None, root: bytes, now: datetime) -> Request:
    """Who asks again while it waits keeps its place in the queue."""
    if request is None:
        return Request(root, step(None, Event.ASKED), now)
    return request.moved(Event.ASKED, request.due_at if request.state in ACTIVE else now)


def _first_seen(payment: Payment, quotes: Sequence[Quote]) -> Pin:
    text = quotes[-1].cid_text if quotes else payment.cid_text
    return Pin(payment.root, payment.name, text, step(None, Event.SEEN), None)


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
