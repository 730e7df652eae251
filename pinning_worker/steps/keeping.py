"""Keeping: the audit before a pin is called pinned, and the debt when blocks of it are lost.

CONFIRMED -> every block is synced, read back and hashed -> the receipt is written and signed -> PINNED -> announced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from pinning_worker.domain.pin import Event, Pin, Request, next_look, reminders_over
from pinning_worker.domain.topic.messages import AddedCid
from pinning_worker.domain.topic.name_row import name_text
from pinning_worker.ports.books import Change
from pinning_worker.steps.answering import Answering
from pinning_worker.steps.last_words import LastWords
from pinning_worker.steps.losing import Losing
from pinning_worker.steps.neighbours import Chapter
from pinning_worker.steps.receipts import WrittenReceipts
from pinning_worker.steps.signing import Signing
from pinning_worker.steps.whole_roots import WholeRoots

log = structlog.get_logger()


@dataclass(slots=True)
class Keeping(Chapter):
    answering: Answering
    losing: Losing
    receipts: WrittenReceipts
    signing: Signing
    whole: WholeRoots
    last_words: LastWords

    async def keep(self, pin: Pin) -> None:
        """Syncs, reads back and hashes every block of a CONFIRMED pin; then receipt, state PINNED, announcement."""
        held = await self.books.held(pin.root)
        await self.blocks.sync(held)
        bad = await self.blocks.audit(held)
        request = await self.books.request(pin.root)
        if bad or not held or request is None or request.sizes is None:
            return await self.losing.damaged(pin.root, bad)
        self.whole.note_whole(pin.root)
        await self.receipts.write(pin, request)
        signed = await self.signing.sign_purchases(pin, request)
        assert pin.ends is not None
        assert pin.starts is not None
        begun = max(self.clock.now(), pin.starts)  # a header's time may be ahead of our clock
        pinned = pin.moved(Event.AUDITED, None, attempts=0, reminded=reminders_over(pin.ends, begun, pin.reminded))
        pinned = replace(pinned, due_at=next_look(pinned, self.clock.now()))
        async with self.last_words.told_once_stored():
            if not await self.books.commit(Change(requests=(request,), pins=(pinned,))):
                return None
            self._log_kept(pinned, request)
            if not self.terms.blocked(pin.root):
                await self.announcer.say(AddedCid(pin.cid_text, receipt=str(signed) if signed else None))
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
