"""The shelf: a block leaves it when nothing holds it, never while a step needs it, and never for good at once.

One lock covers the freeing of files and the check of a fresh closure: neither runs between the other's look and action.

Rules for freed blocks:
- They wait in quarantine for `Terms.quarantine`, from where a fetch brings them back. Two clocks decide the end.
- Nothing is freed before this run has read the chain to its tip: until then our books may lack payments.
- Nothing is freed while a receipt names a pin that is not in the books: its payment has not been found yet, and an
  unpaid request for its blocks must not free them.
- Blocks that the books explain (a term ended, a quote lapsed, a fetch failed) go at once; or, if one of the two rules
  above or a full disk prevents that, with the next `sweep` of this run, however many they are. Blocks without a
  reference that the books do not explain were left by a crash, or the books are the wrong ones. So a `sweep` frees at
  most a hundredth of the store or SWEEP_MOST of them; more is held, logged as an error, and goes only when the operator
  releases it.
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
from pinning_worker.domain.pin import REQUEST_HOLDS, Event, Pin
from pinning_worker.ports.books import Books, Change, Receipts
from pinning_worker.ports.chain import Chain
from pinning_worker.ports.content import Blocks
from pinning_worker.ports.world import Clock, Trouble
from pinning_worker.steps.awaiting import Awaiting
from pinning_worker.steps.closure import Closure
from pinning_worker.steps.recovering import promised_to_nobody

log = structlog.get_logger()

MIB = 1 << 20
SWEEP_LEAST, SWEEP_MOST = 16 * MIB, 1024 * MIB  # bytes; between them a hundredth of the store
SWEEP_AGAIN = timedelta(hours=1)  # until the next sweep while blocks are held; until the next count of promises
PURGE_EVERY = timedelta(hours=1)
MOST_LEFT = 100_000  # released blocks that are not freed yet; a sweep handles more, within its limit


@dataclass(frozen=True, slots=True)
class Orphans:
    """Blocks on the shelf that no root references, and the bytes of the whole shelf."""

    blocks: int
    bytes: int
    store_bytes: int

    @property
    def may_go(self) -> int:
        """Bytes that a sweep frees without the operator."""
        return max(SWEEP_LEAST, min(SWEEP_MOST, self.store_bytes // 100))


class Release(Protocol):
    """The operator's release of orphans."""

    def bytes(self) -> int: ...

    def spend(self) -> None:
        """Deletes the release, which is for one sweep."""


class NoRelease:
    def bytes(self) -> int:
        return 0

    def spend(self) -> None: ...


async def count_orphans(books: Books, blocks: Blocks) -> Orphans:
    """Reads the size of every block on disk."""
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
    awaiting: Awaiting
    quarantine: timedelta
    release: Release = field(default_factory=NoRelease)
    untidy: bool = True  # unreferenced blocks may lie there: true at every start
    _has_swept: bool = False  # later unreferenced blocks come from fetches of this run, so they are unpaid
    _left: dict[Multihash, bool] = field(default_factory=dict)  # released, and not freed yet -> whether it was paid for
    _knows_payments: bool = False  # the payments of all receipts were found; once true, it stays so
    _compare_at: datetime | None = None  # not before this time is `_knows_payments` looked up again
    _sweep_at: datetime | None = None  # not before; None: at once
    _purge_at: datetime | None = None
    _lock: trio.Lock = field(default_factory=trio.Lock)

    @asynccontextmanager
    async def holding_still(self) -> AsyncGenerator[None, None]:
        """While it is held, no file is freed."""
        async with self._lock:
            yield

    async def lacks(self, closure: Closure) -> bool:
        """Whether a block of it is missing. Call it, and store the references, inside one `holding_still`."""
        return len(await self.blocks.sizes(tuple(closure.blocks))) < len(closure.blocks)

    async def put_aside(self, multihashes: Sequence[Multihash]) -> None:
        """Moves the broken ones of these blocks into quarantine, whichever root references them."""
        async with self._lock:
            bad = await self.blocks.audit(multihashes)
            await self.blocks.free(tuple(bad), await self._today(), was_paid=True)

    async def let_go(self, pin: Pin, change: Change) -> bool:
        """Stores a pin that no longer keeps its root, and frees the blocks that nothing else holds. While a payment for
        another name is on its way, the request holds them: its lapse looks again."""
        request = await self.books.request(pin.root)
        others = [other for other in await self.books.pins_of(pin.root) if other.key != pin.key]
        if any(other.keeps for other in others) or (request and request.state in REQUEST_HOLDS):
            return await self.books.commit(change)
        awaited = await self.awaiting.until(others, self.clock.now())
        if awaited is not None and request is not None and request.sizes is not None:
            holding = request.moved(Event.MEASURED, awaited)
            return await self.books.commit(replace(change, requests=(holding,)))
        emptied = tuple(replace(r, sizes=None) for r in change.requests)
        return await self.store_and_free(replace(change, requests=emptied, release=(pin.root,)), was_paid=True)

    async def store_and_free(self, change: Change, also: Sequence[Multihash] = (), *, was_paid: bool) -> bool:
        """Stores one change, and moves the blocks that it leaves unreferenced into quarantine. `also`: blocks that were
        never referenced.

        The step is complete once the change is stored: blocks that cannot be freed now wait for a sweep.
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
        """Whether the books have all payments, as far as the chain and the receipts show."""
        if not await self.chain.is_read():
            return False
        if not self._knows_payments and _is_time(self._compare_at, self.clock.now(), SWEEP_AGAIN):
            await self._count_promised()
        return self._knows_payments

    async def _count_promised(self) -> int:
        """The number of receipts without a found payment. New receipts always have one, so 0 is final in this run."""
        if self._knows_payments:
            return 0
        promised = await promised_to_nobody(self.books, self.receipts, self.clock.now())
        self._knows_payments, self._compare_at = not promised, self.clock.now() + SWEEP_AGAIN
        return len(promised)

    async def _free_of(self, multihashes: Sequence[Multihash], *, was_paid: bool) -> int:
        """Frees the unreferenced ones of these blocks, and returns their number. The caller holds the lock."""
        free = tuple(await self.books.unreferenced(multihashes))
        await self.blocks.free(free, await self._today(), was_paid=was_paid)
        return len(free)

    async def _free_let_go(self, multihashes: Sequence[Multihash], *, was_paid: bool) -> None:
        """Frees blocks. Paid ones that another root still holds are also copied: a lapse would free them as unpaid."""
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
        """The operator may have released held blocks."""
        self._sweep_at = None

    def has_tidying_due(self) -> bool:
        """Whether a sweep or a purge is due. Cheap, for the loop calls it at every turn."""
        now = self.clock.now()
        return self._is_sweep_due(now) or self._is_purge_due(now)

    def _is_sweep_due(self, now: datetime) -> bool:
        return self.untidy and _is_time(self._sweep_at, now, SWEEP_AGAIN)

    def _is_purge_due(self, now: datetime) -> bool:
        return _is_time(self._purge_at, now, PURGE_EVERY)

    async def sweep_if_due(self) -> None:
        """Sweeps if unreferenced blocks may lie there. A fetch brings back the ones that it still needs."""
        now = self.clock.now()
        if self._is_sweep_due(now) and await self.chain.is_read():
            self.untidy, self._sweep_at = (
                False,
                now + SWEEP_AGAIN,
            )  # blocks left from here on are for the next sweep
            if await self._sweep():
                self._has_swept, self._sweep_at = True, None
            else:
                self.untidy = True

    async def purge_if_due(self) -> None:
        """Deletes the blocks that have waited long enough in quarantine."""
        now = self.clock.now()
        if self._is_purge_due(now) and await self.chain.is_read():
            self._purge_at = now + PURGE_EVERY
            await self._purge(now)

    async def _sweep(self) -> bool:
        """Frees what a crash or a full disk left between a put and its record. False: too much for that, so held."""
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
        """Deletes a day's blocks once all of them have waited long enough, by our clock and by the chain's."""
        tip = await self.chain.tip()
        if tip is not None:
            await self.blocks.purge((min(now, tip.median_time) - self.quarantine).date())

    async def _today(self) -> date:
        """The later date of two clocks: a slow clock must not shorten the wait."""
        tip = await self.chain.tip()
        now = self.clock.now()
        return (max(now, tip.time) if tip is not None else now).date()


def _is_time(moment: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether the moment has come. One further ahead than `every` was set before the clock went back."""
    return moment is None or not now < moment <= now + every
