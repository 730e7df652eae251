"""The story of a pin, top to bottom.

    NEW-CID -> fetch the closure -> quote -> payment proven -> pin + audit -> announce -> remind -> expire

Four ideas keep it small:
1. `due_at` is the scheduler. Retries, lapses, reminders, expiry and recovery after a crash are one loop over one
   question: what is due now?
2. Compare and swap. A step reads, decides (purely, in `domain`), stores only if no other step was faster, and only
   then announces. A refused step changes nothing and is taken again.
3. A doorbell, not a queue. The truth is in the books; a ring wakes the loop. A task that dies loses nothing, because
   no task owns a fact.
4. Announce after the commit. Gossip is lossy; a repeated NEW-CID repeats the standing answer.

A step that changes what a root holds (pins it, releases it, finds it damaged) stores that root's request in the same
change, so that the request's version guards the decision. The parts are in `steps/`: fetching, quoting, answering,
the shelf of blocks, the loop, and the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import trio
from trio_typing import TaskStatus

from pinning_worker.domain.identities import PeerId, Txid
from pinning_worker.domain.money.payment import Sighting, Tip
from pinning_worker.domain.pin import Pin, Request, State
from pinning_worker.domain.topic.requests import Ask, BadAsk
from pinning_worker.steps.answering import Answering
from pinning_worker.steps.asking import Asking
from pinning_worker.steps.awaiting import Awaiting
from pinning_worker.steps.bell import Bell
from pinning_worker.steps.checking import Checking
from pinning_worker.steps.crashes import Crashes
from pinning_worker.steps.due import DueLoop
from pinning_worker.steps.ending import Ending
from pinning_worker.steps.fetching import Fetching
from pinning_worker.steps.keeping import Keeping
from pinning_worker.steps.last_words import LastWords
from pinning_worker.steps.losing import Losing
from pinning_worker.steps.media import KeptContent
from pinning_worker.steps.neighbours import Neighbours
from pinning_worker.steps.owing import Owing
from pinning_worker.steps.paying import Paying
from pinning_worker.steps.queue import Queue
from pinning_worker.steps.quoting import Quoting
from pinning_worker.steps.receipts import WrittenReceipts
from pinning_worker.steps.shelf import Shelf
from pinning_worker.steps.signing import Signing
from pinning_worker.steps.tariffs import Tariffs
from pinning_worker.steps.turns import Turn
from pinning_worker.steps.two_clocks import TwoClocks
from pinning_worker.steps.whole_roots import WholeRoots


@dataclass(slots=True)
class Lifecycle:
    """Events enter by `asked`, `ill_asked` and the methods of a ChainListener; `run` keeps the story going."""

    near: Neighbours
    has_last_words: bool = False  # a stop waits for announcements of stored changes

    bell: Bell = field(default_factory=Bell)
    crashes: Crashes = field(init=False)
    last_words: LastWords = field(init=False)
    queue: Queue = field(init=False)
    shelf: Shelf = field(init=False)
    checking: Checking = field(init=False)
    media: KeptContent = field(init=False)
    asking: Asking = field(init=False)
    fetching: Fetching = field(init=False)
    paying: Paying = field(init=False)
    keeping: Keeping = field(init=False)
    owing: Owing = field(init=False)
    ending: Ending = field(init=False)
    due: DueLoop = field(init=False)

    def __post_init__(self) -> None:
        """Builds the furniture and the chapters, each after those that it uses."""
        near, bell, whole = self.near, self.bell, WholeRoots()
        terms, clock, books, chain = near.terms, near.clock, near.books, near.chain
        crashes = self.crashes = Crashes(near.crash_notes)
        last_words = self.last_words = LastWords(self.has_last_words)
        queue = self.queue = Queue(books, clock, terms)
        two_clocks, awaiting, tariffs = TwoClocks(clock, books, chain), Awaiting(books), Tariffs(books)
        receipts = WrittenReceipts(clock, books, near.receipts, near.signed_receipts)
        shelf = self.shelf = Shelf(
            books, near.blocks, near.receipts, clock, chain, awaiting, quarantine=terms.quarantine, release=near.release
        )

        quoting, signing = Quoting(near), Signing(near)
        losing = Losing(near, shelf, whole, bell)
        self.checking = Checking(near, crashes, losing, whole)
        near.blocks.found_broken = self.checking.note_broken
        answering = Answering(near, quoting, signing, self.checking)
        self.media = KeptContent(near, self.checking)
        self.fetching = Fetching(near, quoting, answering, shelf, bell)
        self.paying = Paying(near, shelf, receipts, signing, two_clocks, crashes, last_words, bell)
        self.keeping = Keeping(near, answering, losing, receipts, signing, whole, last_words)
        self.owing = Owing(near, shelf, receipts, two_clocks, bell)
        self.ending = Ending(near, quoting, shelf, receipts, two_clocks, awaiting, tariffs, last_words, bell)
        self.asking = Asking(near, answering, self.fetching, self.ending, crashes, queue, bell)
        self.due = DueLoop(
            near,
            shelf,
            answering,
            crashes,
            queue,
            bell,
            ask_anew=self.asking.take_up,
            judge=self.paying.judge,
            fetch=self._fetch,
            turn_away=self.asking.turn_away,
            displace=self.asking.displace,
            lapse=self.ending.lapse,
            step=self._step,
        )

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled, and continues from the state in the books."""
        self.crashes.tell_aside()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.last_words.run)
            nursery.start_soon(self.checking.run)
            await nursery.start(self.due.run)
            task_status.started()

    # ------------------------------------------------------------ the doors

    async def asked(self, ask: Ask, peer: PeerId, through: PeerId, address: str = "") -> None:
        """A NEW-CID. `peer` signed it, `through` handed it to us (peer ids, often the same) from `address`."""
        await self.asking.asked(ask, peer, through, address)

    async def ill_asked(self, bad: BadAsk) -> None:
        """A request form that can only be refused."""
        await self.asking.ill_asked(bad)

    async def payment_seen(self, sighting: Sighting) -> None:
        """A transaction that pays us, proven or not. A repeat changes nothing."""
        await self.paying.seen(sighting)

    async def payment_gone(self, txid: Txid) -> None:
        """The transaction left the mempool and stands in no block."""
        await self.paying.gone(txid)

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        """A new block: confirmations grow; a reorg takes back the proofs in blocks that it replaced."""
        await self.paying.tip_moved(tip, fork_height)

    async def denylist_changed(self) -> None:
        """The operator has changed the denylist."""
        await self.owing.denylist_changed()

    def look_again(self) -> None:
        """The operator may have released held orphans: look at once."""
        self.shelf.look_again()
        self.bell.ring()

    def ring(self) -> None:
        """Wakes the loop for a change outside the books: the sight of the chain."""
        self.bell.ring()

    # ------------------------------------------------------------ what is due

    async def _fetch(self, turn: Turn, request: Request) -> None:
        """Fetches, measures and quotes a request; then books the payments that came before the quote."""
        try:
            await self.fetching.fetch(request, turn)
        finally:
            self.queue.leaves(request.root)
        await self.paying.look_again(request.root)

    async def _step(self, pin: Pin) -> None:
        """The next step of a pin, by its state. A pin that waits for the chain is never due."""
        match pin.state:
            case State.CONFIRMED:
                await self.keeping.keep(pin)
            case State.OWED:
                await self.owing.retry(pin)
            case State.PINNED | State.EXPIRING:
                await self.ending.remind_or_end(pin)
            case State.CREDIT:
                await self.ending.end(pin)
            case State.SEEN | State.SHORT | State.VANISHED | State.SUSPENDED | State.RELEASED:
                raise AssertionError(f"a pin that is {pin.state.value} has nothing due")
            case State.REQUESTED | State.FETCHING | State.QUOTED | State.STALLED | State.REFUSED | State.LAPSED:
                raise AssertionError(f"{pin.state.value} is a request's state, never a pin's")
