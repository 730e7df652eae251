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
change, so that its version guards the decision. Block files are deleted, and a fresh closure checked for
completeness, under one lock: neither can slip between the other's looking and doing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog
import trio
from trio_typing import TaskStatus

from pinning_worker.closure import Closure, Gathering
from pinning_worker.domain.cid import Cid, cid_from_bytes
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.messages import (
    AddedCid,
    AddingCid,
    CidPinnedWithName,
    Error,
    ExpiredCid,
    ExpiringCid,
    FetchingCid,
    Renewal,
)
from pinning_worker.domain.name_row import name_text
from pinning_worker.domain.payment import Payment, Sighting, Tip, record_sighting
from pinning_worker.domain.pin import (
    ACTIVE,
    LIVE,
    REQUEST_HOLDS,
    STANDING,
    Asker,
    Event,
    Pin,
    PinKey,
    Request,
    State,
    next_reminder,
    step,
)
from pinning_worker.domain.pricing import PriceList, Quote, fee, months_to_sell, remaining_days
from pinning_worker.domain.receipt import Receipt
from pinning_worker.domain.requests import Ask, BadAsk
from pinning_worker.domain.verdict import Depth, judge
from pinning_worker.ports import (
    Announcer,
    Blocks,
    Books,
    Budget,
    Chain,
    Change,
    Clock,
    DiskFull,
    Dossier,
    Fetcher,
    NotFound,
    OverBudget,
    Receipts,
    Stalled,
    Trouble,
    Unreadable,
)

log = structlog.get_logger()

ANSWER_EVERY = timedelta(seconds=2)  # at most one standing answer per CID in this time
FIRST_PROGRESS, NEXT_PROGRESS = timedelta(seconds=2), timedelta(seconds=5)
KEEP_STALLED = timedelta(hours=1)
MEMPOOL_GRACE = timedelta(hours=24)
CLOCKS_AGAIN = timedelta(minutes=10)
CLOCKS_APART = timedelta(days=1)
OWED_FIRST_RETRY, OWED_LAST_RETRY = timedelta(minutes=1), timedelta(hours=6)
REORG_LOOKBACK = 1000  # blocks below the tip that are compared with our headers after every start
MOST_NAMES_ANSWERED = 10
PUT_OFF = timedelta(seconds=30)
TRIES = 50  # of a step that others keep overtaking


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator decided."""

    prices: PriceList
    payment_address: str
    payment_script: bytes
    network: str
    depth: Depth
    budget: Budget
    staging_quota: int  # bytes of quoted, unpaid content
    quote_life: timedelta = timedelta(hours=24)
    most_months: int = 8
    most_active: int = 200  # requests waiting or being fetched
    most_active_per_peer: int = 50
    fetches_at_once: int = 8
    steps_at_once: int = 16
    longest_rest: timedelta = timedelta(hours=1)  # a clock may be set, a machine may sleep: look again
    denied: Callable[[Cid], bool] = lambda cid: False


@dataclass(slots=True)
class Lifecycle:
    terms: Terms
    clock: Clock
    books: Books
    blocks: Blocks
    receipts: Receipts
    fetcher: Fetcher
    announcer: Announcer
    chain: Chain
    new_id: Callable[[], str]
    note_metadata: Callable[[bytes, bool], Awaitable[None]] | None = None

    _bell: trio.Event = field(default_factory=trio.Event)
    _shelf: trio.Lock = field(default_factory=trio.Lock)  # held while block files go, or a closure is checked
    _working: set[bytes | PinKey] = field(default_factory=set)
    _nudged: dict[PinKey, None] = field(default_factory=dict)
    _asking: dict[bytes, set[str]] = field(default_factory=dict)  # peers that wait for a root, for their limit
    _staging: dict[bytes, int] = field(default_factory=dict)  # bytes that running fetches have taken
    _answered: dict[bytes, datetime] = field(default_factory=dict)
    _postponed: dict[bytes, list[Asker]] = field(default_factory=dict)
    _past_end: set[PinKey] = field(default_factory=set)  # ended by our clock, not yet by the chain's
    _looked_back: bool = False
    _sweep: bool = True

    # ------------------------------------------------------------ NEW-CID

    async def asked(self, ask: Ask, peer: str) -> None:
        """A NEW-CID: the standing answer if there is one, else a place in the queue."""
        asker = Asker(ask.text, ask.id, months_to_sell(ask.months, self.terms.most_months), peer, ask.origins)
        if self.terms.denied(ask.cid):
            return await self._refuse([asker], ErrorCode.DENIED, "this operator does not keep that CID")
        root = ask.cid.key
        for _ in _tries("asked"):
            known = await self.books.dossier(root, 1)
            request = known.request
            if (request and request.sizes) or known.naming:
                return await self._answer_soon(root, asker)
            if (request is None or request.state not in (State.REQUESTED, State.FETCHING)) and (
                full := await self._queue_full(peer)
            ):
                return await self._refuse([asker], ErrorCode.BUSY, full, retry_after=30)
            request = _asked(request, root, self.clock.now()).with_asker(asker)
            if await self.books.commit(Change(requests=(request,))):
                self._asking.setdefault(root, set()).add(peer)
                return self.ring()
        return None

    async def ill_asked(self, bad: BadAsk) -> None:
        """A request form that can only be refused."""
        await self.announcer.say(Error(bad.text, bad.code, bad.message, bad.id))

    async def _queue_full(self, peer: str) -> str | None:
        if await self.books.active_requests() >= self.terms.most_active:
            return "the queue is full"
        if sum(peer in peers for peers in self._asking.values()) >= self.terms.most_active_per_peer:
            return "too many requests of yours are waiting"
        return None

    async def _refuse(
        self, askers: Iterable[Asker], code: ErrorCode, message: str, retry_after: int | None = None
    ) -> None:
        for asker in askers:
            await self.announcer.say(Error(asker.text, code, message, asker.id, retry_after))

    async def _answer_soon(self, root: bytes, asker: Asker) -> None:
        """The standing answer, at most once per CID in two seconds; who asks in between is answered at their end."""
        waiting = self._postponed.get(root)
        if waiting is not None:
            same = (asker.text, asker.id, asker.months)
            waiting[:] = [*(a for a in waiting if (a.text, a.id, a.months) != same), asker][-MOST_NAMES_ANSWERED:]
            return
        now = self.clock.now()
        last = self._answered.get(root)
        if last is None or now - last >= ANSWER_EVERY:
            self._answered[root] = now
            return await self._answer(root, [asker])
        self._postponed[root] = [asker]
        self.ring()

    async def _answer_postponed(self) -> None:
        now = self.clock.now()
        for root in [r for r in self._postponed if now - self._answered.get(r, _LONG_AGO) >= ANSWER_EVERY]:
            askers = self._postponed.pop(root)
            self._answered[root] = now
            await self._answer(root, askers)
        for root in [r for r, at in self._answered.items() if now - at >= ANSWER_EVERY and r not in self._postponed]:
            del self._answered[root]

    async def _answer(self, root: bytes, askers: Sequence[Asker]) -> None:
        """CID-PINNED-WITH-NAME for each name that stands, then the quote from which a browser can pay (again)."""
        known = await self.books.dossier(root, MOST_NAMES_ANSWERED)
        for asker in askers:
            for pin in known.naming:
                await self._say_pinned(pin, asker.text, asker.months, asker.id)
            quote = self._live_quote(known, asker.months) or await self._standing_quote(root, asker.months, asker.text)
            if quote is None and known.naming:
                pin = known.naming[0]
                quote = await self._standing_quote(pin.root, asker.months, pin.cid_text)
            if quote is not None:
                await self.announcer.say(AddingCid(asker.text, quote, asker.id))

    async def _say_pinned(self, pin: Pin, text: str, months: int, id_: str | None = None) -> None:
        quote = await self._standing_quote(pin.root, months, pin.cid_text)
        if pin.ends is None or quote is None:
            return
        days = remaining_days(pin.ends, self.clock.now())
        await self.announcer.say(CidPinnedWithName(text, pin.name, pin.ends, days, Renewal.of(quote), id_))

    # ------------------------------------------------------------ quote

    async def _standing_quote(self, root: bytes, months: int, text: str) -> Quote | None:
        """The live quote of (root, months), a new one if it lapsed; None where the closure is not held."""
        for _ in _tries("quote"):
            known = await self.books.dossier(root, 0)
            request = known.request
            if request is None or request.sizes is None:
                return None
            if live := self._live_quote(known, months):
                return live
            quote = self._quote(request, months, text, self.clock.now())
            request = request.moved(Event.MEASURED, max(request.due_at or quote.expires, quote.expires))
            if await self.books.commit(Change(requests=(request,), quotes=(quote,))):
                return quote
        return None

    def _live_quote(self, known: Dossier, months: int) -> Quote | None:
        """None also where the closure is not held: a quote is repeated only while it can be kept."""
        if known.request is None or known.request.sizes is None:
            return None
        now = self.clock.now()
        return next((q for q in reversed(known.quotes) if q.months == months and q.is_live(now)), None)

    def _quote(self, request: Request, months: int, text: str, now: datetime) -> Quote:
        assert request.sizes is not None
        return Quote(
            id=self.new_id(),
            root=request.root,
            cid_text=text,
            months=months,
            amount=fee(self.terms.prices, request.sizes.total, months),
            price_version=self.terms.prices.version,
            sizes=request.sizes,
            blocks=request.blocks,
            issued=now,
            expires=now + self.terms.quote_life,
            payment_address=self.terms.payment_address,
            payment_script=self.terms.payment_script,
            network=self.terms.network,
            foreign=request.foreign,
        )

    # ------------------------------------------------------------ fetch

    async def _fetch(self, request: Request) -> None:
        """The closure, measured and quoted; or why not. Everybody who asked is answered.

        The row stays due all the while: one that nobody works on is one that a crash interrupted.
        """
        gathering = await self._gathering(request)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_progress, gathering)
            await self._gather_or_explain(request, gathering)
            nursery.cancel_scope.cancel()

    async def _gather_or_explain(self, request: Request, gathering: Gathering) -> None:
        try:
            await self._gather(request, gathering)
        except NotFound as failure:
            await self._give_up(request, gathering, ErrorCode.NOT_FOUND, str(failure), retry_after=60)
        except Stalled as failure:
            await self._interrupted(request, gathering, str(failure))
        except OverBudget as failure:
            over_quota = gathering.budget.bytes < self.terms.budget.bytes
            code = ErrorCode.BUSY if over_quota else ErrorCode.TOO_LARGE
            await self._give_up(request, gathering, code, str(failure), retry_after=600)
        except Unreadable as failure:
            await self._give_up(request, gathering, ErrorCode.UNSUPPORTED, str(failure))
        except DiskFull as failure:
            log.error("disk full", cid=_text(request.root), reason=str(failure))
            self._sweep = True  # what was put before it filled up is known to nobody
            await self._give_up(request, gathering, ErrorCode.BUSY, "no room at the moment", retry_after=600)
        except Exception:  # a bug met by one DAG is logged whole and answered; it must not end the worker
            self._sweep, reference = True, self.new_id()
            log.exception("fetching failed by a fault of ours", cid=_text(request.root), reference=reference)
            await self._give_up(request, gathering, ErrorCode.INTERNAL, f"reference {reference}", retry_after=600)

    async def _gathering(self, request: Request) -> Gathering:
        """One closure's fetch, bounded by what the staging quota has left beside the other fetches."""
        taken = await self.books.unpaid_bytes() + sum(self._staging.values())
        owed = not request.askers  # nobody asked but a paid pin: what is paid for is no longer staged
        room = self.terms.budget.bytes if owed else min(self.terms.budget.bytes, self.terms.staging_quota - taken)

        async def progress(blocks: int, size: int) -> None:
            self._staging[request.root] = size

        return Gathering(
            root=cid_from_bytes(request.root),
            fetcher=self.fetcher,
            store=self.blocks,
            clock=self.clock,
            budget=replace(self.terms.budget, bytes=room),
            progress=progress,
            peers=tuple(dict.fromkeys(asker.peer for asker in reversed(request.askers))),
            origins=tuple(dict.fromkeys(origin for asker in request.askers for origin in asker.origins)),
        )

    async def _report_progress(self, gathering: Gathering) -> None:
        """FETCHING-CID to everybody who waits: after two seconds, then every five."""
        root, wait = gathering.root.key, FIRST_PROGRESS
        while True:
            await self.clock.sleep(wait.total_seconds())
            wait = NEXT_PROGRESS
            for asker in await self._note_that_it_takes_time(root):
                await self.announcer.say(FetchingCid(asker.text, gathering.count, gathering.size, asker.id))

    async def _note_that_it_takes_time(self, root: bytes) -> tuple[Asker, ...]:
        for _ in _tries("fetching"):
            request = await self.books.request(root)
            if request is None or request.state not in ACTIVE:
                return ()
            if request.state is State.FETCHING:
                return request.askers
            if await self.books.commit(Change(requests=(request.moved(Event.STARTED, self.clock.now()),))):
                return request.askers
        return ()

    async def _gather(self, request: Request, gathering: Gathering) -> None:
        if gathering.budget.bytes <= 0:
            raise DiskFull("the staging quota is used up")
        while True:
            closure = await gathering.run()
            async with self._shelf:
                if await self._lacks(closure):
                    continue  # a block that was here already was let go with another closure meanwhile: fetch it
                askers = await self._measured(request.root, closure)
            break
        self._answered[request.root] = self.clock.now()
        await self._answer(request.root, askers)
        if closure.has_images is not None and self.note_metadata is not None:
            await self.note_metadata(request.root, closure.has_images)
        for pin in await self.books.pins_of(request.root):
            self.nudge(pin.key)

    async def _lacks(self, closure: Closure) -> bool:
        for multihash in closure.blocks:
            if await self.blocks.size(multihash) is None:
                return True
        return False

    async def _measured(self, root: bytes, closure: Closure) -> tuple[Asker, ...]:
        """Stores measure, quotes and block references in one change; who is to be answered."""
        for _ in _tries("measured"):
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
            quotes = self._first_quotes(known, request, now)
            hold = ((root, tuple(closure.blocks)),)
            if await self.books.commit(Change(requests=(request,), quotes=quotes, hold=hold)):
                return current.askers
        return ()

    def _first_quotes(self, known: Dossier, request: Request, now: datetime) -> tuple[Quote, ...]:
        """One for each term that was asked for; every term, where somebody paid for what was never quoted."""
        terms = {asker.months: asker.text for asker in known.request.askers} if known.request else {}
        if known.pins and not known.quotes:
            terms = dict.fromkeys(range(1, self.terms.most_months + 1), known.pins[0].cid_text) | terms
        live = {quote.months for quote in known.quotes if quote.is_live(now)}
        return tuple(self._quote(request, months, text, now) for months, text in terms.items() if months not in live)

    async def _interrupted(self, request: Request, gathering: Gathering, reason: str) -> None:
        """Blocks came, then stopped: those held are kept for the retry."""
        for _ in _tries("interrupted"):
            current = await self.books.request(request.root) or request
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
                return await self._refuse(current.askers, ErrorCode.TIMEOUT, reason, retry_after=60)
        return None

    async def _give_up(
        self, request: Request, gathering: Gathering, code: ErrorCode, reason: str, retry_after: int | None = None
    ) -> None:
        for _ in _tries("given up"):
            current = await self.books.request(request.root) or request
            refused = current.moved(
                Event.FAILED, None, askers=(), failure=code, reason=reason, sizes=None, attempts=current.attempts + 1
            )
            pins = await self.books.pins_of(request.root)
            kept = any(pin.state in LIVE for pin in pins)
            release = () if kept else (request.root,)
            if await self._store_and_free(Change(requests=(refused,), release=release), tuple(gathering.blocks)):
                log.info("refused", cid=_text(request.root), code=code.value, reason=reason)
                return await self._refuse(current.askers, code, reason, retry_after)
        return None

    # ------------------------------------------------------------ payment

    async def payment_seen(self, sighting: Sighting) -> None:
        """A transaction that pays us, proven or not. Said again it changes nothing."""
        for _ in _tries("payment"):
            known = await self.books.payment(sighting.txid)
            payment = record_sighting(known, sighting, self.clock.now())
            if payment == known and payment.announced >= 0:
                return None
            if not payment.root:
                if known is None:
                    log.warning("paid without naming a CID: owed", txid=payment.txid, amount=str(payment.amount))
                if await self.books.commit(Change(payments=(payment,))):
                    return None
                continue
            key = PinKey(payment.root, payment.name)
            pin = await self.books.pin(key) or await self._first_seen(payment)
            if await self.books.commit(Change(pins=(pin,), payments=(payment,))):
                return self.nudge(key)
        return None

    async def _first_seen(self, payment: Payment) -> Pin:
        quotes = await self.books.quotes(payment.root)
        text = quotes[-1].cid_text if quotes else payment.cid_text
        return Pin(payment.root, payment.name, text, step(None, Event.SEEN), None)

    async def payment_gone(self, txid: str) -> None:
        """It left the mempool and stands in no block."""
        await self._update_payment(txid, lambda payment: replace(payment, gone=payment.proof is None))

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        """A new block: confirmations grow; in a reorg proofs that no longer stand are taken back."""
        start = fork_height
        if not self._looked_back:  # headers may have moved on while we were down
            start = min(tip.height - REORG_LOOKBACK, fork_height if fork_height is not None else tip.height)
        if start is not None:
            for payment in await self.books.proven_from(start):
                assert payment.proof is not None
                if await self.chain.hash_at(payment.proof.height) != payment.proof.block_hash:
                    log.warning("a reorg took a payment back", txid=payment.txid, height=payment.proof.height)
                    await self._update_payment(payment.txid, _without_proof)
        self._looked_back = True
        for key in await self.books.unsettled():
            self.nudge(key)
        await self._look_again_at_ends()
        self.ring()  # a block is a good moment to see whether the clock was moved

    async def _look_again_at_ends(self) -> None:
        """Pins whose end our clock has passed and the chain's had not, before this block."""
        keys, self._past_end = self._past_end, set()
        for key in keys:
            pin = await self.books.pin(key)
            if pin is not None and pin.due_at is not None and pin.state in STANDING:
                await self.books.commit(Change(pins=(replace(pin, due_at=self.clock.now()),)))

    async def _update_payment(self, txid: str, change: Callable[[Payment], Payment]) -> None:
        for _ in _tries("payment"):
            known = await self.books.payment(txid)
            if known is None or (payment := change(known)) == known:
                return
            key = PinKey(payment.root, payment.name)
            pin = await self.books.pin(key)
            if await self.books.commit(Change(pins=(pin,) if pin else (), payments=(payment,))):
                return self.nudge(key)

    async def _judge(self, key: PinKey) -> None:
        """What the payments of a pin mean now; stored, then spoken."""
        for _ in _tries("judged"):
            pin, tip = await self.books.pin(key), await self.chain.tip()
            if pin is None or tip is None:
                return
            request = await self.books.request(key.root)
            verdict = judge(
                pin,
                await self.books.payments_of(key),
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
            if verdict.pin.state is State.SUSPENDED:
                stored = await self._let_go(verdict.pin, change)
            else:
                stored = await self.books.commit(change)
            if stored:
                _log_turn(pin, verdict.pin)
                for message in verdict.say:
                    await self.announcer.say(message)
                return self.ring()

    # ------------------------------------------------------------ pin, audit, announce

    async def _keep(self, pin: Pin) -> None:
        """CONFIRMED: every block synced, read back and hashed; then the record; then "pinned"; then the news."""
        held = await self.books.held(pin.root)
        await self.blocks.sync(held)
        bad = await self.blocks.audit(held)
        request = await self.books.request(pin.root)
        if bad or not held or request is None or request.sizes is None:
            return await self._damaged(pin, bad)
        await self._write_receipts(pin, request)
        assert pin.ends is not None
        pinned = pin.moved(Event.AUDITED, self._next_look(pin), attempts=0)
        if not await self.books.commit(Change(requests=(request,), pins=(pinned,))):
            return None
        log.info("pinned", cid=pin.cid_text, name=name_text(pin.name), ends=pin.ends.isoformat(), blocks=len(held))
        await self.announcer.say(AddedCid(pin.cid_text))
        await self._say_pinned(pinned, pin.cid_text, self.terms.most_months)
        return None

    async def _damaged(self, pin: Pin, bad: Collection[bytes]) -> None:
        """The audit found blocks missing or broken: they are thrown away and fetched again; until then we owe."""
        log.error("audit failed", cid=pin.cid_text, bad_blocks=len(bad))
        async with self._shelf:
            await self.blocks.delete(tuple(bad))
        for _ in _tries("damaged"):
            request = await self.books.request(pin.root)
            current = await self.books.pin(pin.key)
            if current is None or current.state is not State.CONFIRMED:
                return
            owed = current.moved(Event.OWES, self.clock.now(), reason="blocks were lost or broken on disk")
            damaged: tuple[Request, ...] = ()
            if request is not None and request.state in (State.QUOTED, State.LAPSED):
                damaged = (request.moved(Event.DAMAGED, self.clock.now(), sizes=None),)
            if await self.books.commit(Change(requests=damaged, pins=(owed,))):
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
                cid=_text(pin.root),
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

    async def _retry_owed(self, pin: Pin) -> None:
        """Paid, but the content is not here: ask for it again, further and further apart, while the term runs."""
        now = self.clock.now()
        over = pin.ends is not None and pin.ends <= now
        wait = min(OWED_FIRST_RETRY * 2 ** min(pin.attempts, 16), OWED_LAST_RETRY)
        log.error("OWED", cid=pin.cid_text, name=name_text(pin.name), reason=pin.reason, attempts=pin.attempts)
        request = await self.books.request(pin.root)
        idle = request is None or request.state in (State.REFUSED, State.LAPSED, State.STALLED)
        again = (_asked(request, pin.root, now),) if idle and not over and not (request and request.sizes) else ()
        reason = "its term ended before the content could be had" if over else pin.reason
        owed = pin.moved(Event.OWES, None if over else now + wait, attempts=pin.attempts + 1, reason=reason)
        if await self.books.commit(Change(requests=again, pins=(owed,))):
            self.ring()
            if request and request.sizes:
                self.nudge(pin.key)

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
        reminded = pin.moved(Event.REMINDED, None, reminded=days)
        reminded = replace(reminded, due_at=self._next_look(reminded))
        if not await self.books.commit(Change(pins=(reminded,))):
            return
        quote = await self._standing_quote(pin.root, self.terms.most_months, pin.cid_text)
        if quote is not None and pin.ends is not None:
            left = remaining_days(pin.ends, self.clock.now())
            await self.announcer.say(ExpiringCid(pin.cid_text, pin.name, pin.ends, left, Renewal.of(quote)))

    async def _end(self, pin: Pin) -> None:
        """The term is over when two clocks say so: ours, and the median time of the last 11 verified headers."""
        now, tip = self.clock.now(), await self.chain.tip()
        assert pin.ends is not None
        if tip is None or tip.median_time < pin.ends:
            if tip is None or abs(now - tip.median_time) > CLOCKS_APART:
                log.error("clocks disagree: nothing is freed", ours=now.isoformat(), chain=str(tip and tip.median_time))
            await self.books.commit(Change(pins=(replace(pin, due_at=now + CLOCKS_AGAIN),)))
            self._past_end.add(pin.key)
            return
        request = await self.books.request(pin.root)
        if request is not None and request.sizes is not None:
            await self._write_receipts(pin, request, released_at=now)
        ended = pin.moved(Event.ENDED, None)
        if await self._let_go(ended, Change(requests=(request,) if request else (), pins=(ended,))):
            log.info("expired", cid=pin.cid_text, name=name_text(pin.name))
            await self.announcer.say(ExpiredCid(pin.cid_text, pin.name, pin.ends))

    async def _lapse(self, request: Request) -> None:
        """Nobody paid in time. A payment on its way holds the blocks: in a block until it is deep enough, in the
        mempool for 24 hours more."""
        now = self.clock.now()
        pins = await self.books.pins_of(request.root)
        until = await self._awaited_until(pins, request, now)
        if until is not None and until > now:
            await self.books.commit(Change(requests=(replace(request, due_at=until),)))
            return
        kept = any(pin.state in LIVE for pin in pins)
        lapsed = request.moved(Event.LAPSED, None, sizes=request.sizes if kept else None)
        release = () if kept else (request.root,)
        if await self._store_and_free(Change(requests=(lapsed,), release=release)):
            log.info("lapsed", cid=_text(request.root))

    async def _awaited_until(self, pins: Iterable[Pin], request: Request, now: datetime) -> datetime | None:
        latest: datetime | None = None
        for pin in pins:
            if pin.state is not State.SEEN:
                continue
            for payment in await self.books.payments_of(pin.key):
                if payment.settled or payment.gone:
                    continue
                ends = [quote.expires for quote in await self.books.quotes(request.root)]
                until = now + timedelta(hours=1) if payment.proof else max(ends, default=now) + MEMPOOL_GRACE
                latest = max(latest or until, until)
        return latest

    async def _let_go(self, pin: Pin, change: Change) -> bool:
        """Stores a pin that no longer holds its root, and frees the blocks that nothing else holds."""
        request = await self.books.request(pin.root)
        others = [other for other in await self.books.pins_of(pin.root) if other.key != pin.key]
        if any(other.state in LIVE for other in others) or (request and request.state in REQUEST_HOLDS):
            return await self.books.commit(change)
        emptied = tuple(replace(r, sizes=None) for r in change.requests)
        return await self._store_and_free(replace(change, requests=emptied, release=(pin.root,)))

    async def _store_and_free(self, change: Change, also: Sequence[bytes] = ()) -> bool:
        """One change and the deletion of what it leaves unreferenced. `also`: blocks that were never referenced."""
        async with self._shelf:
            candidates = dict.fromkeys(also)
            for root in change.release:
                candidates.update(dict.fromkeys(await self.books.held(root)))
            if not await self.books.commit(change):
                return False
            await self.blocks.delete(tuple(await self.books.unreferenced(tuple(candidates))))
            return True

    async def _sweep_orphans(self) -> None:
        """Blocks on disk that nothing references: what a crash left between a put or a release and its record."""
        async with self._shelf, aclosing(self.blocks.all()) as pieces:
            async for multihashes in pieces:
                orphans = await self.books.unreferenced(multihashes)
                if orphans:
                    log.info("freeing blocks that nothing holds", blocks=len(orphans))
                    await self.blocks.delete(tuple(orphans))

    # ------------------------------------------------------------ the loop

    def ring(self) -> None:
        self._bell.set()

    def nudge(self, key: PinKey) -> None:
        """This pin's payments, or what is held for it, may have changed."""
        self._nudged[key] = None
        self.ring()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled. Whatever was going on when the last run ended goes on where the books say it stood."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self._bell = trio.Event()
                await self._answer_postponed()
                await self._start_what_is_due(nursery)
                await self._rest()

    async def _start_what_is_due(self, nursery: trio.Nursery) -> None:
        if self._sweep and not self._working and not await self.books.active_requests():
            self._sweep = False
            await self._sweep_orphans()
        while self._nudged and self._steps() < self.terms.steps_at_once:
            key = next((key for key in self._nudged if key not in self._working), None)
            if key is None:
                break
            del self._nudged[key]
            self._start(nursery, key, self._judge, key)
        for row in await self.books.due(self.clock.now(), self.terms.steps_at_once + len(self._working)):
            self._start_row(nursery, row)

    def _start_row(self, nursery: trio.Nursery, row: Request | Pin) -> None:
        if isinstance(row, Pin):
            if row.key not in self._working and self._steps() < self.terms.steps_at_once:
                self._start(nursery, row.key, self._step_pin, row)
        elif row.root in self._working:
            return
        elif row.state in ACTIVE:
            if len(self._staging) < self.terms.fetches_at_once:
                self._staging[row.root] = 0
                self._start(nursery, row.root, self._fetch, row)
        elif self._steps() < self.terms.steps_at_once:
            self._start(nursery, row.root, self._lapse, row)

    def _steps(self) -> int:
        """Steps that run now; fetches have places of their own, so that they never keep a payment waiting."""
        return len(self._working) - len(self._staging)

    async def _step_pin(self, pin: Pin) -> None:
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

    def _start(
        self, nursery: trio.Nursery, key: bytes | PinKey, work: Callable[[Item], Awaitable[None]], item: Item
    ) -> None:
        self._working.add(key)

        async def run() -> None:
            try:
                await work(item)
            except Trouble as trouble:
                log.error("put off", reason=str(trouble))
                await self.clock.sleep(PUT_OFF.total_seconds())  # still at work: nobody takes it up meanwhile
                if isinstance(key, PinKey):
                    self.nudge(key)
            finally:
                self._working.discard(key)
                if isinstance(key, bytes):
                    self._staging.pop(key, None)
                    self._asking.pop(key, None)
                self.ring()

        nursery.start_soon(run)

    async def _rest(self) -> None:
        """Until the bell rings or the next thing is due."""
        now = self.clock.now()
        due = await self.books.next_due(now)
        moments = [self._answered[root] + ANSWER_EVERY for root in self._postponed] + ([due] if due else [])
        seconds = min(
            [(moment - now).total_seconds() for moment in moments], default=self.terms.longest_rest.total_seconds()
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ring_in, min(max(seconds, 0), self.terms.longest_rest.total_seconds()))
            await self._bell.wait()
            nursery.cancel_scope.cancel()

    async def _ring_in(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self.ring()


Item = TypeVar("Item")
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _tries(step_name: str) -> Iterator[int]:
    """The attempts of a step at compare-and-swap. Raises Overtaken when others were faster every time."""
    yield from range(TRIES)
    raise Overtaken(f"{step_name}: others were faster {TRIES} times")


class Overtaken(RuntimeError):
    """Nobody is faster fifty times in a row, unless two workers share a database: a bug, or an operator's mistake."""


def _asked(request: Request | None, root: bytes, now: datetime) -> Request:
    if request is None:
        return Request(root, step(None, Event.ASKED), now)
    return request.moved(Event.ASKED, now)


def _without_proof(payment: Payment) -> Payment:
    return replace(payment, proof=None)


def _text(root: bytes) -> str:
    return str(cid_from_bytes(root))


def _log_turn(before: Pin, after: Pin) -> None:
    if before.state is not after.state:
        level = log.error if after.state in (State.OWED, State.CREDIT, State.SUSPENDED) else log.info
        level(
            after.state.value,
            cid=after.cid_text,
            name=name_text(after.name),
            was=before.state.value,
            reason=after.reason,
        )
