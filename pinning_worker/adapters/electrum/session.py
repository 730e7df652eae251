"""One conversation with one connected server.

    introduce:  protocol version, the chain that it follows, its tip (`introduction.py`)
    then, whenever the bell rings:
        1. our headers follow its tip
        2. read the history of each script whose status changed
        3. read the transactions that we do not have, and proofs for those without one (`payments.py`); if there are
           many, as many as the budget allows, until the bell rings again
    and after a minute of silence request its tip and statuses again: a server that stops can be half dead.

A notification only rings the bell; the session then judges the answers against our own headers, txids and scripts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice

import structlog
import trio

from pinning_worker.adapters.electrum.answers import (
    ShownTip,
    read_headers,
    read_history,
    read_parameters,
    read_status,
    read_tip,
)
from pinning_worker.adapters.electrum.faults import LinkLost, RequestRefused, ServerMisbehaved, WrongPast
from pinning_worker.adapters.electrum.follow import Follower
from pinning_worker.adapters.electrum.frames import Frames
from pinning_worker.adapters.electrum.introduction import TIP, introduce, require_answers
from pinning_worker.adapters.electrum.log_limit import LogLimit
from pinning_worker.adapters.electrum.nameops import Wait, read_name_ops
from pinning_worker.adapters.electrum.pace import COST_PER_BYTE, Pace
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.payments import PaymentReader
from pinning_worker.adapters.electrum.view import ChainView
from pinning_worker.adapters.electrum.wire import Wire
from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.chain.ancestors import ancestors
from pinning_worker.domain.chain.headerchain import MOST_AHEAD_SECONDS, FromTheFuture
from pinning_worker.domain.chain.headers import BadHeader, Header
from pinning_worker.ports.chain import NameOpAt

STATUSES_AT_ONCE = 100  # requested again in one check-in
LONG_HISTORY = 1_000  # rows; a longer history costs too much to be read at each change
AGAIN_AT_ONCE, AGAIN_SLOWLY = 100.0, 40.0  # cost a second that reading it again and again may spend
ROWS_A_SECOND = 20_000  # of its histories, looked through
LONGEST_BREATH_SECONDS = 10.0  # between two looks
COST_OF_ROW = 100 * COST_PER_BYTE  # of a history: some 99 bytes each

_SCRIPT = "blockchain.scripthash.subscribe"

_log = structlog.get_logger(__name__)


class Session:
    """`server` is the name by which the view and the log know it."""

    def __init__(self, server: str, frames: Frames, view: ChainView, pace: Pace, patience: Patience) -> None:
        self.server = server
        self.wire = Wire(frames, self._hear, self.ring, pace, patience.answer_seconds)
        self.shown_tip: ShownTip | None = None
        self.has_looked = False  # all histories were read once
        self.tells_payments = False  # it accepts a subscription to every script, and lists the history of each
        self._view, self._pace, self._patience = view, pace, patience
        self._follower = Follower(self.wire, pace, view, patience.courtesy_seconds)
        self._reader = PaymentReader(server, self.wire, pace, view)
        self._cuts_headers = True  # until it refuses to
        self._statuses: dict[str, str | None] = {}  # scripthash of a subscribed script -> its status
        self._to_read: set[str] = set()  # scripthashes whose history is to be read
        self._not_before: dict[str, float] = {}  # scripthash of a long history -> when it may be read again
        self._refused: set[str] = set()  # scripthashes whose history it refused
        self._log_limit = LogLimit()  # by scripthash
        self._ask_again_at, self._refusal_wait = 0.0, patience.check_in_seconds
        self._turn: deque[str] = deque()  # scripthashes, the next one to check in on first
        self._bell = trio.Event()
        self._tip_since = self._level_since = 0.0

    @property
    def waits_for(self) -> FromTheFuture | None:
        """The header of this server that is too far ahead of our clock."""
        return self._follower.waits_for

    @property
    def refuses_history(self) -> bool:
        return bool(self._refused)

    def ring(self) -> None:
        """Makes the session look again."""
        self._bell.set()

    async def converse(self) -> None:
        """Runs until the link is lost or the server misbehaves, and raises that (LinkLost, ServerMisbehaved)."""
        await self._introduce()
        while True:
            self._bell = trio.Event()
            self.wire.require_link()
            await self._look()
            await self._breathe()
            with trio.move_on_after(self._patience.check_in_seconds) as silence:
                await self._rest()
            if silence.cancelled_caught:
                await self._check_in()
            self._require_fresh()

    async def _breathe(self) -> None:
        """Pauses between looks. Each look goes through all that the server shows, so a server that shows much and
        notifies all the time would keep us busy with nothing else."""
        rows = self._view.sightings.rows_shown_by(self.server)
        if rows > LONG_HISTORY:
            await trio.sleep(min(rows / ROWS_A_SECOND, LONGEST_BREATH_SECONDS))

    async def _rest(self) -> None:
        """Waits until the bell rings, a header ahead of our clock may be accepted, or a history may be read again."""
        async with trio.open_nursery() as nursery:
            if self.waits_for is not None:
                nursery.start_soon(self._ring_in_time, self.waits_for)
            if self._to_read:
                nursery.start_soon(self._ring_at, min(self._not_before.get(hash_, 0.0) for hash_ in self._to_read))
            await self._bell.wait()
            nursery.cancel_scope.cancel()

    async def _ring_in_time(self, header: FromTheFuture) -> None:
        clock = self._view.clock
        await clock.sleep(max(0.0, (header.time - clock.now()).total_seconds() - MOST_AHEAD_SECONDS))
        self.ring()

    async def _ring_at(self, moment: float) -> None:
        await trio.sleep_until(moment)
        self.ring()

    async def name_ops(self, height: int, header: Header) -> tuple[NameOpAt, ...]:
        """Returns all NameOps of that block. Raises ElectrumTrouble; after a lie the link is closed already."""
        try:
            return (await read_name_ops(self.wire, self._pace.wait, {height: header}))[height]
        except ServerMisbehaved as fault:
            self.wire.give_up(fault)
            raise

    async def names_of_the_past(self, headers: Mapping[int, Header], wait: Wait) -> dict[int, tuple[NameOpAt, ...]]:
        """Returns all NameOps of those blocks, by height. Raises ElectrumTrouble; a lie closes no link."""
        return await read_name_ops(self.wire, wait, headers)

    async def ancestors(self, first: int, last: int, last_hash: str) -> list[Header]:
        """Returns the headers of those heights, linked by hash to the last one. Raises WrongPast, ElectrumTrouble.

        Up to a checkpoint (here the last of them) a server cuts the AuxPow off, which leaves a tenth of the bytes. One
        that knows no checkpoints sends it along, or refuses; ElectrumX 2.0 cuts at the wrong places. That is no lie, so
        the headers are requested again whole, and from then on always.
        """
        count = last - first + 1
        if self._cuts_headers:
            try:
                return ancestors(await self._headers(first, count, last), count, last_hash)
            except (RequestRefused, BadHeader):
                self._cuts_headers = False
        try:
            return ancestors(await self._headers(first, count), count, last_hash)
        except BadHeader as error:
            raise WrongPast(f"its headers from {first} to {last} do not lead to our block: {error}") from error

    async def _headers(self, *wanted: int) -> bytes:
        return read_headers(await self.wire.call("blockchain.block.headers", *wanted))

    # --- introducing

    async def _introduce(self) -> None:
        tip = await introduce(self.wire, self._view.network)
        self._level_since = trio.current_time()
        self._move_tip(tip)
        _log.info("electrum.server_answers", server=self.server, height=tip.height)

    # --- hearing

    def _hear(self, method: str, parameters: Sequence[object]) -> None:
        if method == TIP:
            self._move_tip(read_tip(read_parameters(parameters, 1)[0]))
        elif method == _SCRIPT:
            hash_, status = read_parameters(parameters, 2)[:2]
            if isinstance(hash_, str) and hash_ in self._statuses:
                self._statuses[hash_] = read_status(status)
                self._to_read.add(hash_)  # even if the status is the same: a reorg may restore all rows
        self.ring()

    def _move_tip(self, shown: ShownTip) -> None:
        if self.shown_tip is None or shown.header.hash != self.shown_tip.header.hash:
            self.shown_tip, self._tip_since = shown, trio.current_time()

    async def _check_in(self) -> None:
        """Requests the values that a missed notification would have brought."""
        due = list(islice(self._turn, STATUSES_AT_ONCE))
        self._turn.rotate(-len(due))
        answers = require_answers(
            await self.wire.batch([(TIP, ()), *((_SCRIPT, (scripthash_,)) for scripthash_ in due)])
        )
        self._move_tip(read_tip(answers[0]))
        for scripthash_, answer in zip(due, answers[1:], strict=True):
            self._take_status(scripthash_, read_status(answer))

    def _take_status(self, scripthash_: str, status: str | None) -> None:
        if scripthash_ not in self._statuses or self._statuses[scripthash_] != status:
            self._to_read.add(scripthash_)
        self._statuses[scripthash_] = status

    def _require_fresh(self) -> None:
        """Raises LinkLost if a new connection, to this server or another, is the better idea."""
        now, shown, ours = trio.current_time(), self.shown_tip, self._view.tip()
        if shown is None or ours is None or shown.height >= ours.height:
            self._level_since = now
        if now - self._tip_since > self._patience.stale_seconds:
            raise LinkLost("its tip has not moved for long")
        if now - self._level_since > self._patience.behind_seconds:
            raise LinkLost("it stays behind the other servers")

    # --- looking

    async def _look(self) -> None:
        shown = self.shown_tip
        assert shown is not None, "the introduction asks for the tip"
        await self._follower.follow(shown)
        if self._view.chain is None or self._view.tip() is None:
            return  # our chain has not reached any server's tip yet: nothing can be proven
        await self._subscribe()
        await self._read_histories()
        all_read = await self._reader.read(self._view.chain, self._is_called)
        self.tells_payments = not self._refused
        if all_read and not self._refused:
            self.has_looked = True
            self._view.settle()
        self._view.ring()

    async def _subscribe(self) -> None:
        new = [hash_ for hash_ in map(scripthash, self._view.sightings.scripts) if hash_ not in self._statuses]
        answers = await self.wire.batch((_SCRIPT, (hash_,)) for hash_ in new)
        for hash_, answer in zip(new, answers, strict=True):
            if isinstance(answer, RequestRefused):
                raise LinkLost(f"it follows no more than {len(self._statuses)} scripts: {answer}")
            self._take_status(hash_, read_status(answer))
            self._turn.append(hash_)

    async def _read_histories(self) -> None:
        """Reads the histories of the scripts whose status changed. After a refusal it asks again at growing intervals:
        the server may be busy, or may never list it. Until it does, its silence makes nothing disappear."""
        now = trio.current_time()
        if now >= self._ask_again_at:
            self._to_read |= self._refused
        due = self._due_histories()
        self._to_read -= set(due)
        answers = await self.wire.batch(("blockchain.scripthash.get_history", (hash_,)) for hash_ in due)
        for hash_, answer in zip(due, answers, strict=True):
            if isinstance(answer, RequestRefused):
                self._note_refusal(hash_, answer)
            else:
                await self._take_history(hash_, answer)
        if not self._refused:
            self._refusal_wait = self._patience.check_in_seconds
        elif now >= self._ask_again_at:
            self._ask_again_at = now + self._refusal_wait
            self._refusal_wait = min(2 * self._refusal_wait, self._patience.stale_seconds)

    def _due_histories(self) -> list[str]:
        now = trio.current_time()
        return [hash_ for hash_ in self._to_read if now >= self._not_before.get(hash_, 0.0)]

    def _is_called(self) -> bool:
        """Whether there is more urgent work than a backlog."""
        return self._bell.is_set() or bool(self._due_histories())

    async def _take_history(self, hash_: str, answer: object) -> None:
        is_long = isinstance(answer, list) and len(answer) > LONG_HISTORY
        try:
            history = await trio.to_thread.run_sync(read_history, answer) if is_long else read_history(answer)
        except RequestRefused as refusal:
            self._note_refusal(hash_, refusal)
            return
        self._refused.discard(hash_)
        self._view.sightings.show(self.server, hash_, history)
        if is_long:
            per_second = 1.0 if self._pace.is_spent else AGAIN_SLOWLY if self._pace.is_strained else AGAIN_AT_ONCE
            self._not_before[hash_] = trio.current_time() + len(history) * COST_OF_ROW / per_second

    def _note_refusal(self, hash_: str, refusal: RequestRefused) -> None:
        if hash_ not in self._refused and self._log_limit.allows(hash_):
            _log.warning("electrum.history_refused", server=self.server, scripthash=hash_, why=str(refusal))
        self._refused.add(hash_)
