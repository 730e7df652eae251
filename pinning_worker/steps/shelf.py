"""The shelf: a block leaves it when nothing holds it, never under somebody's feet, and never for good at once.

Files are freed, and a fresh closure checked for completeness, under one lock: neither can slip between the other's
looking and doing.

Rules for what is freed:
- It waits in quarantine for `Terms.quarantine`, from where a fetch brings it back. Two clocks say when that is over.
- Nothing is freed before this run has read the chain to its tip: until then our books may know less than was paid.
- While a receipt promises what no pin of the books knows, nothing is freed either: a payment has not been found, and
  whoever asks for its blocks without paying must not be the one who frees them.
- What the books explain (a term ended, a quote lapsed, a fetch failed) goes at once; or, where one of the two rules
  above or a full disk is in the way, with the next `sweep` of this run, however much it is. What they do not explain,
  because no root references it, is left by a crash, or the books are the wrong ones. So a `sweep` frees of that a
  hundredth of the store or SWEEP_MOST at most; more is held, said loudly, and goes only when the operator releases it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Protocol

import structlog
import trio

from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import REQUEST_HOLDS, Pin
from pinning_worker.ports import Blocks, Books, Chain, Change, Clock, Receipts, Trouble
from pinning_worker.steps.closure import Closure
from pinning_worker.steps.recovering import promised_to_nobody

log = structlog.get_logger()

MIB = 1 << 20
SWEEP_LEAST, SWEEP_MOST = 16 * MIB, 1024 * MIB  # bytes; between them a hundredth of the store
SWEEP_AGAIN = timedelta(hours=1)  # whether what is held may go
PURGE_EVERY = timedelta(hours=1)
MOST_LEFT = 100_000  # blocks let go and not yet freed; what is beyond is for a sweep, within its limit


@dataclass(frozen=True, slots=True)
class Orphans:
    """What lies on the shelf without a root that references it, beside all that lies there. Bytes."""

    blocks: int
    bytes: int
    store_bytes: int

    @property
    def may_go(self) -> int:
        """Bytes that a sweep frees by itself."""
        return max(SWEEP_LEAST, min(SWEEP_MOST, self.store_bytes // 100))


class Release(Protocol):
    """What the operator lets go of orphans."""

    def bytes(self) -> int: ...

    def spend(self) -> None:
        """It was for one sweep."""


class NoRelease:
    def bytes(self) -> int:
        return 0

    def spend(self) -> None: ...


async def count_orphans(books: Books, blocks: Blocks) -> Orphans:
    """Reads the size of every block there is."""
    found = size = total = 0
    async with aclosing(blocks.all()) as pieces:
        async for multihashes in pieces:
            sizes = await blocks.sizes(multihashes)
            nobodys = await books.unreferenced(multihashes)
            total += sum(sizes.values())
            found += len(nobodys)
            size += sum(sizes.get(multihash, 0) for multihash in nobodys)
    return Orphans(found, size, total)


@dataclass(slots=True)
class Shelf:
    books: Books
    blocks: Blocks
    receipts: Receipts
    clock: Clock
    chain: Chain
    quarantine: timedelta
    release: Release = field(default_factory=NoRelease)
    untidy: bool = True  # something may lie there that nothing references: true at every start
    _has_swept: bool = False  # what lies there since then was left by fetches of this run, so nobody has paid for it
    _left: dict[Multihash, bool] = field(default_factory=dict)  # let go, and not freed yet; whether it was paid for
    _knows_payments: bool = False  # no receipt promises what no payment was found for: true for good once seen
    _compare_at: datetime | None = None  # whether that is so now; not before
    _sweep_at: datetime | None = None  # not before; None: at once
    _purge_at: datetime | None = None
    _lock: trio.Lock = field(default_factory=trio.Lock)

    @asynccontextmanager
    async def holding_still(self) -> AsyncGenerator[None, None]:
        """Inside, no file is freed."""
        async with self._lock:
            yield

    async def lacks(self, closure: Closure) -> bool:
        """Is a block of it missing? To be asked, and its references stored, while `holding_still`."""
        return len(await self.blocks.sizes(tuple(closure.blocks))) < len(closure.blocks)

    async def put_aside(self, multihashes: Sequence[Multihash]) -> None:
        """Of these blocks those that are broken, whoever references them."""
        async with self._lock:
            bad = await self.blocks.audit(multihashes)
            await self.blocks.free(tuple(bad), await self._today(), was_paid=True)

    async def let_go(self, pin: Pin, change: Change) -> bool:
        """Stores a pin that no longer holds its root, and frees the blocks that nothing else holds."""
        request = await self.books.request(pin.root)
        others = [other for other in await self.books.pins_of(pin.root) if other.key != pin.key]
        if any(other.keeps for other in others) or (request and request.state in REQUEST_HOLDS):
            return await self.books.commit(change)
        emptied = tuple(replace(r, sizes=None) for r in change.requests)
        return await self.store_and_free(replace(change, requests=emptied, release=(pin.root,)), was_paid=True)

    async def store_and_free(self, change: Change, also: Sequence[Multihash] = (), *, was_paid: bool) -> bool:
        """One change, and into quarantine what it leaves unreferenced. `also`: blocks that were never referenced.

        Once the change is stored this is done: what cannot be freed now stays on the shelf, for a sweep.
        """
        async with self._lock:
            candidates = dict.fromkeys(also)
            for root in change.release:
                candidates.update(dict.fromkeys(await self.books.held(root)))
            if not await self.books.commit(change):
                return False
            try:
                if await self._knows_all():
                    await self._free_let_go(tuple(candidates), was_paid=was_paid)
                    return True
            except Trouble as trouble:
                log.error("sweep.put_off", reason=str(trouble))
            self._leave(candidates, was_paid=was_paid)
            return True

    async def _knows_all(self) -> bool:
        """Whether the books know of all that was paid, as far as the chain and the receipts tell."""
        if not await self.chain.is_read():
            return False
        if not self._knows_payments and _is_time(self._compare_at, self.clock.now(), SWEEP_AGAIN):
            await self._count_promised()
        return self._knows_payments

    async def _count_promised(self) -> int:
        """Receipts whose payment was not found. Those written in this run have one, so 0 is for good."""
        if self._knows_payments:
            return 0
        promised = await promised_to_nobody(self.books, self.receipts, self.clock.now())
        self._knows_payments, self._compare_at = not promised, self.clock.now() + SWEEP_AGAIN
        return len(promised)

    async def _free_of(self, multihashes: Sequence[Multihash], *, was_paid: bool) -> int:
        """The lock is held. How many of them nothing references."""
        free = tuple(await self.books.unreferenced(multihashes))
        await self.blocks.free(free, await self._today(), was_paid=was_paid)
        return len(free)

    async def _free_let_go(self, multihashes: Sequence[Multihash], *, was_paid: bool) -> None:
        """Of what was paid for also those that a quote of whomever still holds: it lapses as never paid for."""
        await self._free_of(multihashes, was_paid=was_paid)
        if was_paid:
            held = set(multihashes) - await self.books.unreferenced(multihashes)
            await self.blocks.remember(tuple(held), await self._today())

    def _leave(self, multihashes: Iterable[Multihash], *, was_paid: bool) -> None:
        self.untidy = True
        for multihash in multihashes:
            if multihash in self._left or len(self._left) < MOST_LEFT:
                self._left[multihash] = was_paid or self._left.get(multihash, False)

    async def _free_left(self) -> None:
        async with self._lock:
            for was_paid in (True, False):
                left = tuple(multihash for multihash, paid in self._left.items() if paid == was_paid)
                await self._free_let_go(left, was_paid=was_paid)
            self._left.clear()

    # ------------------------------------------------------------ tidying

    def look_again(self) -> None:
        """The operator may have released what is held."""
        self._sweep_at = None

    def has_tidying_due(self) -> bool:
        """Cheap, for it is asked at every turn."""
        now = self.clock.now()
        return self._is_sweep_due(now) or self._is_purge_due(now)

    def _is_sweep_due(self, now: datetime) -> bool:
        return self.untidy and _is_time(self._sweep_at, now, SWEEP_AGAIN)

    def _is_purge_due(self, now: datetime) -> bool:
        return _is_time(self._purge_at, now, PURGE_EVERY)

    async def sweep_if_due(self) -> None:
        """At a quiet moment, if something may lie there. What a fetch still needs of it, the fetch brings back."""
        now = self.clock.now()
        if self._is_sweep_due(now) and await self.chain.is_read():
            self.untidy, self._sweep_at = (
                False,
                now + SWEEP_AGAIN,
            )  # what is left lying from here on is for the next one
            if await self._sweep():
                self._has_swept, self._sweep_at = True, None
            else:
                self.untidy = True

    async def purge_if_due(self) -> None:
        """Deletes what has waited long enough in quarantine."""
        now = self.clock.now()
        if self._is_purge_due(now) and await self.chain.is_read():
            self._purge_at = now + PURGE_EVERY
            await self._purge(now)

    async def _sweep(self) -> bool:
        """What a crash or a full disk left between a put and its record. False where it is too much to be that."""
        if not (promised := await self._count_promised()):
            await self._free_left()
        orphans = await count_orphans(self.books, self.blocks)
        if not orphans.blocks:
            self.release.spend()
            return True
        if promised:
            log.error(
                "blocks.held",
                blocks=orphans.blocks,
                bytes=orphans.bytes,
                receipts=promised,
                reason="receipts promise what no payment that was found pays for",
                mend="let PINNING_PAYMENT_ADDRESS name every address that you were ever paid at",
            )
            return False
        if orphans.bytes > max(orphans.may_go, self.release.bytes()):
            log.error(
                "blocks.held",
                blocks=orphans.blocks,
                bytes=orphans.bytes,
                store_bytes=orphans.store_bytes,
                reason="nothing in the books holds them, and they are more than a crash leaves",
                mend="see what they are with `pinning-worker blocks`; are these the right books? then "
                "`pinning-worker blocks release --yes`",
            )
            return False
        swept = 0
        async with aclosing(self.blocks.all()) as pieces:
            async for multihashes in pieces:
                async with self._lock:
                    swept += await self._free_of(multihashes, was_paid=not self._has_swept)
        if swept:
            log.info("blocks.swept", blocks=swept, quarantine_days=self.quarantine.days)
        self.release.spend()
        return True

    async def _purge(self, now: datetime) -> None:
        """A day's blocks go when all of them have waited long enough, by our clock and by the chain's."""
        tip = await self.chain.tip()
        if tip is not None:
            await self.blocks.purge((min(now, tip.median_time) - self.quarantine).date())

    async def _today(self) -> date:
        """Of two clocks the later one: a clock that is behind shortens no wait."""
        tip = await self.chain.tip()
        now = self.clock.now()
        return (max(now, tip.time) if tip is not None else now).date()


def _is_time(moment: datetime | None, now: datetime, every: timedelta) -> bool:
    """A moment further ahead than it was ever set was set before the clock went back."""
    return moment is None or not now < moment <= now + every
