"""The story of the name index: blocks -> NameOps -> LIST answers.

    a block of our verified chain -> its NameOps, every byte proven -> the index -> a page, as somebody asked for it

1. The index grows from the first start's tip up, block by block, without a gap: a block that no server delivers is
   requested again, never skipped. The index holds the next height, so a stop costs nothing. `backfill.py` lets it grow
   downwards.
2. Before each block, the block below it is compared with our chain. After a reorg the index drops its blocks down to
   the fork and grows again. It requests only heights that our own headers reach: a server's claim of a tip means
   nothing.
3. One answer for each LIST. Equal questions within a few seconds share one query of the index. Every change of the
   index discards the shared answers, so each answer shows the newest state.

docs/protocol.md defines the questions and answers of LIST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
import trio
from trio_typing import TaskStatus

from pinning_worker.domain.chain.address import script_to_address
from pinning_worker.domain.chain.ancestors import FIRST_BLOCK
from pinning_worker.domain.chain.networks import Network
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.money.payment import Tip, named_cid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.listing import BadDate, BadList, Details, ListQuery
from pinning_worker.domain.topic.messages import InvalidDateFormat, ListError, Message, NameOps, Names, NoneFound
from pinning_worker.domain.topic.name_row import KeptMedia, NameRow
from pinning_worker.domain.topic.requests import ListRequest
from pinning_worker.ports.chain import BlockOfNames, Chain
from pinning_worker.ports.names import Media, NameIndex
from pinning_worker.ports.world import Announcer, Clock, Trouble

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 15.0  # seconds, without a ring
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0  # seconds
FRESH = timedelta(days=1)  # a younger tip is the chain's end; an older one may be a download half way
STILL = timedelta(seconds=30)  # an older tip is the end too, once unchanged for so long
SHARED = timedelta(seconds=5)
MOST_SHARED = 256
FIND_SECONDS = 10.0

_Question = tuple[ListQuery, range | None, Details | None]


@dataclass(slots=True)
class Catalogue:
    """`run` indexes until it is cancelled; `listed` answers at any time, from whatever is indexed."""

    network: Network
    clock: Clock
    chain: Chain
    index: NameIndex
    announcer: Announcer
    media: Media | None = None  # set by the wiring: the lifecycle, which knows, is built later

    _bell: trio.Event = field(default_factory=trio.Event)
    _stood: tuple[Tip, datetime] | None = None
    _answers: dict[_Question, tuple[datetime, Message]] = field(default_factory=dict)
    _changes: int = 0  # of the index; an answer that was computed during one is not shared
    _looking: dict[_Question, trio.Event] = field(default_factory=dict)  # queries of the index under way

    # ------------------------------------------------------------ blocks -> index

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        pause = FIRST_RETRY_SECONDS
        while True:
            bell = self._bell = trio.Event()
            try:
                while await self.index_next():
                    pause = FIRST_RETRY_SECONDS
            except Exception as trouble:
                if not isinstance(trouble, Trouble):
                    log.error("names.crashed", fault=repr(trouble), exc_info=trouble)
                log.warning("names.put_off", error=str(trouble), seconds=pause)
                await self.clock.sleep(pause)
                pause = min(2 * pause, LAST_RETRY_SECONDS)
                continue
            with trio.move_on_after(LOOK_EVERY_SECONDS):
                await bell.wait()

    def ring(self) -> None:
        """The tip may have moved. Extra or missing rings cost only time."""
        self._bell.set()

    async def index_next(self) -> bool:
        """Takes one step; False if there is nothing to do now. Raises Trouble, and then nothing has changed."""
        tip = await self.chain.tip()
        if tip is None:
            return False
        height = await self.index.next_height()
        if height is None:
            return await self._begin(tip)
        fork = await self._fork(min(height - 1, tip.height))
        if fork is not None:
            log.info("names.reorged", from_height=fork)
            return await self._resume(fork)
        if height <= tip.height:
            return await self._add(height)
        if height > tip.height + 1 and self._is_fresh(tip):
            log.info("names.rolled_back", tip=tip.height)
            return await self._resume(tip.height + 1)
        return False  # at the tip; or our headers are being downloaded anew, and will reach these blocks again

    async def _begin(self, tip: Tip) -> bool:
        now = self.clock.now()
        if self._stood is None or self._stood[0] != tip:
            self._stood = (tip, now)
        if not self._is_fresh(tip) and now - self._stood[1] < STILL:
            return False
        return await self._resume(tip.height)

    def _is_fresh(self, tip: Tip) -> bool:
        return self.clock.now() - tip.time <= FRESH

    async def _fork(self, height: int) -> int | None:
        """The lowest indexed block, down from `height`, that is not in our chain; None if the one at `height` is."""
        fork = None
        while (indexed := await self.index.hash_at(height)) is not None:
            if await self.chain.has_block(height, indexed):
                break
            fork, height = height, height - 1
        return fork

    async def _resume(self, height: int) -> bool:
        await self.index.resume_from(height)
        self.note_change()
        return True

    async def _add(self, height: int) -> bool:
        block = await self.chain.name_ops(height)
        if block is None or not await self.chain.has_block(height, block.hash):
            return False  # a reorg during the request: the next step sees it
        await self.index.add(height, block.hash, name_rows(block, self.network))
        self.note_change()
        return True

    def note_change(self) -> None:
        """The index has changed: no answer from before is given again."""
        self._changes += 1
        self._answers.clear()

    async def note_metadata(self, root: Root, has_images: bool) -> None:
        """Stores whether the content under `root` (CIDv1 bytes) is a collection. Raises Trouble."""
        await self.index.note_metadata(root, has_images)
        self.note_change()

    # ------------------------------------------------------------ index -> LIST

    async def listed(self, request: ListRequest) -> None:
        """Publishes the one answer to a LIST."""
        answer = await self._answer(request.asked, request.details)
        if isinstance(answer, Names) and request.details is not None:
            answer = replace(answer, id=request.details.id)
        await self.announcer.say(answer)

    async def _answer(self, asked: ListQuery | BadList, details: Details | None) -> Message:
        match asked:
            case BadDate():
                return InvalidDateFormat()
            case BadList():
                return ListError(str(asked))
            case ListQuery():
                return await self._shared(asked, replace(details, id=None) if details else None)

    async def _shared(self, query: ListQuery, details: Details | None) -> Message:
        """One query for all equal questions within a few seconds; other questions do not wait for it."""
        now = self.clock.now()
        question = (query, query.block_times(now), details)
        while (known := self._answers.get(question)) is None or now >= known[0]:
            if (looking := self._looking.get(question)) is None:
                return await self._look(question, now)
            await looking.wait()
        return known[1]

    async def _look(self, question: _Question, now: datetime) -> Message:
        changes, self._looking[question] = self._changes, trio.Event()
        try:
            answer = await self._find(*question)
        finally:
            self._looking.pop(question).set()
        if changes == self._changes and not isinstance(answer, ListError):
            self._answers.pop(question, None)
            if len(self._answers) >= MOST_SHARED:
                del self._answers[next(iter(self._answers))]
            self._answers[question] = (now + SHARED, answer)
        return answer

    async def _find(self, query: ListQuery, times: range | None, details: Details | None) -> Message:
        try:
            with trio.fail_after(FIND_SECONDS):
                lowest = await self.index.lowest()  # before the rows: the index only grows downwards meanwhile
                rows = tuple(await self.index.find(query.filter, times, query.offset, query.limit))
                media = await self._media(rows) if details is not None and details.media else None
        except (Trouble, trio.TooSlowError) as trouble:
            log.warning("list.failed", error=str(trouble))
            return ListError("the name index cannot be read now")
        if details is not None:
            is_complete = lowest is not None and lowest[0] <= FIRST_BLOCK
            return Names(rows, lowest[0] if lowest else None, is_complete, media)
        return NameOps(rows) if rows else NoneFound(query.day)

    async def _media(self, rows: Sequence[NameRow]) -> tuple[KeptMedia | None, ...]:
        """What is kept of the content of each row; each content is looked up once."""
        assert self.media is not None, "the wiring sets it"
        roots = [named[0].key if (named := named_cid(row.value)) else None for row in rows]
        kept = {root: await self.media.kept(root) for root in dict.fromkeys(roots) if root is not None}
        return tuple(kept.get(root) if root is not None else None for root in roots)


def name_rows(block: BlockOfNames, network: Network) -> list[NameRow]:
    """The rows of a block for the index."""
    return [
        NameRow(
            txid=at.txid,
            height=block.height,
            blocktime=int(block.time.timestamp()),
            position=at.position,
            n=at.vout,
            value_swartz=Swartz(at.amount),
            name=at.op.name,
            value=at.op.value or b"",
            address=script_to_address(at.op.address_script, network) or "",
        )
        for at in block.ops
        if at.op.name is not None  # a NAME_NEW hides its name
    ]
