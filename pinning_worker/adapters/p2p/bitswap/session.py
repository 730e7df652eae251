"""One DAG from the network into the block store.

One task owns the session: it walks, asks, and decides when to give up; small tasks of its own look into the store and
write to it. Others only hand it things: verified blocks through a short queue (a full queue makes the sender wait, and
so keeps the memory flat); answers, arrivals and departures of peers as plain calls that change the bookkeeping and
ring.

Rules: a block that is in the store is never asked for. Budget and content of a block are checked before it is written.
At most WINDOW wants are open, and one peer is asked only for as much as its line carries in a second (bounds/pace.py);
the first block under the root is assumed to have LIKELY bytes. A peer that owes answers and gives none for
PATIENCE_SECONDS is passed over until it gives one, and is remembered as silent; when nothing came for REPEAT_SECONDS,
the session asks for everything anew. Bytes of a block that is under way count as well: `Trickle` says how far. Nothing
of this depends on a stream: wants belong to the session, which sends them again to a peer that comes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import trio

from pinning_worker.adapters.p2p.bitswap.arriving_blocks import Shelf
from pinning_worker.adapters.p2p.bitswap.asking import Crowd, Open, choose_peers
from pinning_worker.adapters.p2p.bitswap.hearing import Hearing, Rank
from pinning_worker.adapters.p2p.bitswap.walk import Walk
from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.adapters.p2p.bounds.trickle import Trickle
from pinning_worker.domain.content.cid import RAW, Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.content import Budget, Fetched, NoRoom, NotFound, Stalled, Unreadable
from pinning_worker.ports.world import DiskFull
from pinning_worker.ungroup import one_error

WINDOW = 32
LIKELY = 1024 * 1024
LARGE_NODE = 64 * 1024
QUEUE = 8
WRITERS = 4
TICK_SECONDS = 1.0
PATIENCE_SECONDS = 5.0
REPEAT_SECONDS = 10.0
TELL_SECONDS = 0.5  # seconds between two calls of `progress`, at least; the last one has the whole

Progress = Callable[[int, int], Awaitable[None]]
Arrival = tuple[PeerId, Multihash, bytes]
Parsed = dict[Cid, tuple[Cid, ...]]


class Market(Protocol):
    """The part of the engine that a session uses."""

    @property
    def hearing(self) -> Hearing:
        """Which peers answered so far, and which did not: the notes of all sessions."""

    def peers(self) -> Sequence[PeerId]:
        """The connected peers that we may ask, in no particular order."""

    def has_room(self, peer: PeerId, size: int, *, owes: bool) -> bool:
        """Whether the peer's line will soon carry a block of that size, beside the blocks that it owes us already.
        Unless it `owes` this session one, the answer is yes: other sessions may fill the line for long."""

    def ask(self, peer: PeerId, cid: Cid, kind: WantType, size: int, session: Session) -> None:
        """`size`: the likely size of the block."""

    def cancel_want(self, peer: PeerId, multihash: Multihash, session: Session) -> None: ...

    def expect(self, multihash: Multihash, session: Session) -> None:
        """From now on this block goes to the session, from whatever peer it comes."""

    def expect_no_more(self, multihash: Multihash, session: Session) -> None: ...


class Session:
    """Made by the engine for one call of `fetch`; used once."""

    def __init__(
        self,
        root: Cid,
        askers: Sequence[PeerId],
        budget: Budget,
        shelf: Shelf,
        market: Market,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._root = root
        self._who_asked = frozenset(askers)
        self._askers = askers  # and after them the peers that say that they have it
        self._favourite: PeerId | None = None
        self._budget = budget
        self._is_over = is_over
        self._shelf = shelf
        self._market = market
        self._walk = Walk(root, budget)
        self._open: dict[Multihash, Open] = {}
        self._heard: dict[PeerId, float] = {}  # when a peer last answered, or began to owe
        self._slow: set[PeerId] = set()
        self._look_again = True
        self._likely = 0  # the largest block so far, the root aside
        self._trickle = Trickle()
        self._reported = 0
        self._hopeless: Open | None = None
        self._moved = self._gave = self._reported_at = self._repeated = trio.current_time()
        self._writers = trio.Semaphore(WRITERS)
        self._put, self._queue = trio.open_memory_channel[Arrival | None](QUEUE)

    async def run(self, progress: Progress) -> Fetched:
        """Raises NotFound, Stalled, OverBudget, Unreadable, NoRoom; other errors of the store pass through."""
        try:
            seconds = self._budget.fetch_time.total_seconds()
            with trio.move_on_after(seconds):
                with one_error():
                    async with trio.open_nursery() as nursery:
                        await self._walk_all(nursery, progress)
                await progress(len(self._walk.sizes), self._walk.bytes)
                return Fetched(self._walk.in_order())
            raise Stalled(f"not whole within {seconds:g} s", self._walk.sizes)
        except DiskFull as error:
            raise NoRoom(str(error), self._walk.sizes) from error
        finally:
            self._end()

    # ---------------------------------------------------------------- what others call

    def coming(self, multihash: Multihash) -> None:
        """The block is here and will be delivered: meanwhile the session asks no peer for it."""
        if want := self._open.get(multihash):
            want.coming = True

    async def deliver(self, peer: PeerId, multihash: Multihash, data: bytes) -> None:
        """Hands over a block whose hash is right. Waits while the queue is full; of no effect when the session has
        ended."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._put.send((peer, multihash, data))

    def answered(self, peer: PeerId, multihash: Multihash, *, have: bool) -> None:
        """HAVE or DONT_HAVE."""
        want = self._open.get(multihash)
        if want is None or peer not in want.asked:
            return
        if have:
            want.has[peer] = None
            self._market.hearing.promised(peer)
            if want.asked[peer] is WantType.BLOCK:
                return  # it owes the block itself: its HAVE is no news
        else:
            want.refuse(peer)
            self._market.hearing.refused(peer)
        self._heard[peer] = trio.current_time()
        self.ring()

    def trickled(self, peer: PeerId, count: int) -> None:
        """Bytes of a message that the peer is sending: probably of a block that it owes us. Bytes from a stranger keep
        the fetch alive, and do not keep us from asking other peers; bytes from a peer that asked us do, for a while."""
        now = trio.current_time()
        if not self._owed_by(peer) or not self._trickle.received(peer, count, now):
            return
        self._moved = now
        if peer in self._who_asked and self._trickle.is_lone(peer, now):
            self._heard[peer] = self._gave = now

    def gave(self, peer: PeerId) -> None:
        """The peer gave a block that this session or another one had asked it for: it sends what we want."""
        self._trickle.ended(peer)

    def offered_too_large(self, peer: PeerId, length: int) -> None:
        """If the peer owes us several blocks, nobody knows which one is too large. The session believes it at once if
        that peer alone asked us; else when no peer gives the block."""
        owed = self._owed_by(peer)
        if len(owed) == 1:
            owed[0].too_large = length
            owed[0].refuse(peer)
            if self._who_asked == {peer}:
                self._hopeless = owed[0]
            self.ring()

    def lost(self, peer: PeerId) -> None:
        """Forgets our wants to the peer: it went away, or came on a new connection."""
        self._trickle.ended(peer)
        for want in self._open.values():
            want.forget(peer)
        self.ring()

    def suggest(self, peer: PeerId) -> None:
        """A peer that says that it has this DAG: the session asks it before others."""
        self._askers = (*self._askers, peer)
        self.ring()

    @property
    def waited(self) -> float:
        """Seconds since a peer last gave us a block, or the asker a part of one; or since the start."""
        return trio.current_time() - self._gave

    def ring(self) -> None:
        """Wakes the session: a peer came, went, or answered."""
        self._look_again = True
        with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._put.send_nowait(None)  # a full queue has the session awake anyway

    # ---------------------------------------------------------------- walking

    async def _walk_all(self, nursery: trio.Nursery, progress: Progress) -> None:
        """Returns when every block has come; the nursery then waits for the writes under way."""
        self._look_ahead(nursery)
        while self._open:
            self._ask()
            if arrival := await self._next():
                await self._take(nursery, *arrival)
            self._look_ahead(nursery)
            if trio.current_time() - self._reported_at >= TELL_SECONDS:
                await self._report(progress)

    def _look_ahead(self, nursery: trio.Nursery) -> None:
        """Opens wants up to the window, and searches the store for each; in batches, to save messages."""
        if len(self._open) > WINDOW // 2:
            return
        while len(self._open) < WINDOW and (place := self._walk.next()):
            multihash = place[0].multihash
            if want := self._open.get(multihash):
                want.places.append(place)
                continue
            # Expect it before looking, lest a copy that comes for another session slip by between the two.
            self._open[multihash] = want = Open([place])
            self._market.expect(multihash, self)
            nursery.start_soon(self._look, multihash, want)

    async def _look(self, multihash: Multihash, want: Open) -> None:
        """Searches the store. A block found there is walked from there; for a missing one the session may ask."""
        size, block = await self._shelf.size(multihash), b""
        if size is not None and any(cid.codec != RAW for cid, _ in want.places):
            found = await self._shelf.get(multihash)
            size, block = (None, b"") if found is None else (len(found), found)
        parsed = await self._parsed(want, block)
        if self._open.get(multihash) is not want:
            return  # it came meanwhile
        if size is None:
            want.missing = True
        else:
            self._close(multihash, want)
            self._unfold(want, multihash, size, block, parsed)
        self.ring()

    async def _parsed(self, want: Open, block: bytes) -> Parsed:
        """The links of a block. A thread reads the ones of a large node: 4 MiB can hold a hundred thousand."""
        places = [cid for cid, _ in want.places if cid.codec != RAW] if len(block) > LARGE_NODE else []
        return {cid: await trio.to_thread.run_sync(self._walk.children, cid, block) for cid in places}

    def _unfold(self, want: Open, multihash: Multihash, size: int, block: bytes, parsed: Parsed) -> None:
        """A block is here: it is counted, and its links come next. The bytes of a raw one don't matter."""
        self._walk.charge(multihash, size)
        children = [parsed[cid] if cid in parsed else self._walk.children(cid, block) for cid, _ in want.places]
        for (cid, depth), linked in zip(want.places, children, strict=True):
            self._walk.take(cid, depth, size, linked)
        self._moved = self._gave = trio.current_time()

    async def _next(self) -> Arrival | None:
        """The next block of the queue; None: time to look again. Raises when nothing came for too long."""
        waited = trio.current_time() - self._moved
        patience = self._budget.idle_time if self._walk.sizes else self._budget.first_block_time
        limit = patience.total_seconds()
        is_hopeless = self._hopeless is not None and self._hopeless.cid.multihash in self._open
        if waited >= limit or is_hopeless or self._is_over():
            raise self._gave_up(waited)
        with trio.move_on_after(min(TICK_SECONDS, limit - waited)):
            return await self._queue.receive()
        self._look_again = True
        return None

    def _gave_up(self, waited: float) -> NotFound | Stalled | Unreadable:
        for want in self._open.values():
            if want.too_large:
                message = f"it came in a message of {want.too_large} bytes"
                return Unreadable(f"block {want.cid} is larger than 2 MiB: {message}", self._walk.sizes)
        others = ", and others wait" if self._is_over() else ""
        if not self._walk.sizes:
            return NotFound(f"no connected peer had block {self._root} within {waited:.0f} s{others}")
        missing = next(iter(self._open.values())).cid
        held = f"{len(self._walk.sizes)} blocks, {self._walk.bytes} bytes held"
        return Stalled(f"no connected peer had block {missing} within {waited:.0f} s{others}; {held}", self._walk.sizes)

    async def _take(self, nursery: trio.Nursery, peer: PeerId, multihash: Multihash, data: bytes) -> None:
        want = self._open.get(multihash)
        parsed = await self._parsed(want, data) if want is not None else {}
        if want is None or self._open.get(multihash) is not want:
            return  # it came twice, or was found in the store meanwhile
        self._close(multihash, want, giver=peer)
        self._unfold(want, multihash, len(data), data, parsed)
        self._note_giver(peer, len(data), instead=self._favourite in want.refused)
        await self._writers.acquire()
        nursery.start_soon(self._write, multihash, data)

    async def _write(self, multihash: Multihash, data: bytes) -> None:
        try:
            await self._shelf.put(multihash, data)
        finally:
            self._writers.release()

    def _note_giver(self, peer: PeerId, size: int, *, instead: bool) -> None:
        """`instead`: the favourite refused this block, and this peer gave it."""
        self._heard[peer] = trio.current_time()
        self._market.hearing.gave(peer)
        if len(self._walk.sizes) > 1:
            self._likely = max(self._likely, size)
        self._slow.discard(peer)
        if instead or self._favourite is None or self._favourite in self._slow:
            self._favourite = peer

    # ---------------------------------------------------------------- asking

    def _ask(self) -> None:
        if not self._look_again:
            return
        self._look_again = False
        now = trio.current_time()
        if (
            now - max(self._moved, self._repeated) >= REPEAT_SECONDS
        ):  # trickling bytes count: Helia would send the block twice
            self._ask_anew(now)
        peers = self._peers()
        owing = self._owing()
        self._slow = {peer for peer in owing if now - self._heard[peer] >= PATIENCE_SECONDS}
        self._note_the_silent()
        ranks = [self._market.hearing.rank(peer) for peer in peers]
        silent, broke = sum(rank >= Rank.SILENT for rank in ranks), ranks.count(Rank.BROKE_ITS_WORD)
        crowd = Crowd(peers, self._favourite, self._slow, silent, broke)
        for want in self._open.values():
            for peer, kind in list(choose_peers(want, crowd)):
                if kind is WantType.BLOCK and not self._has_room(peer):
                    self._look_again = True  # when a block comes, or a moment has passed
                    continue
                want.asked[peer] = kind
                if peer not in owing:
                    owing.add(peer)
                    self._heard[peer] = now
                self._market.ask(peer, want.cid, kind, self._likely or LIKELY, self)

    def _has_room(self, peer: PeerId) -> bool:
        return self._market.has_room(peer, self._likely or LIKELY, owes=bool(self._owed_by(peer)))

    def _owed_by(self, peer: PeerId) -> list[Open]:
        """The blocks that this session has asked it for."""
        return [want for want in self._open.values() if want.asked.get(peer) is WantType.BLOCK]

    def _peers(self) -> list[PeerId]:
        """The connected peers: the favourite, the askers, the rest. A favourite that is away loses its place."""
        connected = self._market.peers()
        if self._favourite not in connected:
            self._favourite = next((peer for peer in self._askers if peer in connected), None)
        rank = self._market.hearing.rank
        return sorted(connected, key=lambda peer: (peer != self._favourite, peer not in self._askers, rank(peer)))

    def _note_the_silent(self) -> None:
        for want in self._open.values():
            for peer in self._slow & want.asked.keys():
                self._market.hearing.kept_silent(peer, promised=peer in want.has)

    def _owing(self) -> set[PeerId]:
        return {
            peer
            for want in self._open.values()
            for peer, kind in want.asked.items()
            if kind is WantType.BLOCK or peer not in want.has
        }

    def _ask_anew(self, now: float) -> None:
        """Forgets every outstanding want and starts over: messages get lost, and a peer that lacked the block may have
        it now."""
        self._repeated = now
        self._favourite = None
        for multihash, want in self._open.items():
            self._cancel_wants(multihash, want)
            want.coming = False
            want.asked.clear()
            want.has.clear()
            want.refused.clear()

    def _close(self, multihash: Multihash, want: Open, giver: PeerId | None = None) -> None:
        del self._open[multihash]
        self._market.expect_no_more(multihash, self)
        if giver is not None:
            want.asked.pop(giver, None)
        self._cancel_wants(multihash, want)

    def _cancel_wants(self, multihash: Multihash, want: Open) -> None:
        for peer in {*want.asked, *want.refused}:
            self._market.cancel_want(peer, multihash, self)

    def _end(self) -> None:
        for multihash, want in self._open.items():
            self._market.expect_no_more(multihash, self)
            self._cancel_wants(multihash, want)
        self._open.clear()
        self._queue.close()
        self._put.close()

    async def _report(self, progress: Progress) -> None:
        self._reported_at = trio.current_time()
        asked = sum(WantType.BLOCK in want.asked.values() for want in self._open.values())
        under_way = min(self._trickle.unfinished, asked * (self._likely or LIKELY))
        self._reported = max(
            self._reported, self._walk.bytes + under_way
        )  # never falls, though bytes may be lost on their way
        await progress(len(self._walk.sizes), self._reported)
