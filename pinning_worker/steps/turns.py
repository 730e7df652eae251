"""Turns: how long a fetch keeps its place while others wait.

A fetch alone has all the time of its budget. While others wait,
- a fetch of the share that has the most gives up its place to one that has less: after FIRST_SECONDS if it has brought
  nothing yet, after IDLE_SECONDS without another block, after LONGEST_SECONDS whatever it brings (EVEN_SECONDS, if the
  two then only change places);
- the patience for a first block shrinks with the share's own queue, down to FIRST_SECONDS.
A paid fetch keeps its place. The end of a turn ends the fetch like its own deadline: as not found, or as stalled, and
then the retry has the blocks that came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.pin import Share
from pinning_worker.steps.fair_share import PAID_FOR, Load, Served, Waiting, fair_choice, load_of

FIRST_SECONDS = timedelta(seconds=5)
IDLE_SECONDS = timedelta(seconds=15)
LONGEST_SECONDS = timedelta(seconds=60)
EVEN_SECONDS = timedelta(seconds=180)


@dataclass(slots=True)
class Turn:
    """A fetch that has a place: its share, its start, and the blocks that came."""

    share: Share
    since: datetime
    moved_at: datetime
    blocks: int = 0
    is_over: bool = False

    @classmethod
    def begins(cls, share: Share, now: datetime) -> Turn:
        return cls(share, now, now)

    def brought(self, blocks: int, now: datetime) -> None:
        if blocks > self.blocks:
            self.blocks, self.moved_at = blocks, now

    @property
    def is_open(self) -> bool:
        """Whether it may have to give up its place."""
        return not self.is_over and self.share != PAID_FOR

    def ends_for_others(self, lead: int) -> datetime:
        """The time at which it gives up its place to a share with `lead` places less."""
        patience = IDLE_SECONDS if self.blocks else FIRST_SECONDS
        return min(self.moved_at + patience, self.since + (LONGEST_SECONDS if lead > 1 else EVEN_SECONDS))


@dataclass(frozen=True, slots=True)
class Places:
    """The number of places, the turns that have one, and the patience for a first block while no other fetch waits."""

    count: int
    turns: Mapping[Root, Turn]
    first_block_time: timedelta

    def running(self) -> dict[Root, Share]:
        return {root: turn.share for root, turn in self.turns.items()}

    def open_turns(self) -> list[Turn]:
        return [turn for turn in self.turns.values() if turn.is_open]

    def soonest_end(self) -> datetime | None:
        """The earliest end of a turn, unless its own queue shortens one."""
        return min((turn.ends_for_others(self.count) for turn in self.open_turns()), default=None)

    def end_turns(self, waiting: Waiting, served: Served, now: datetime) -> datetime | None:
        """Ends the turns that are over while these wait. Returns the time of the next end."""
        waiting = waiting.without(self.turns)
        moments = [self._end_for_their_own(waiting, now), self._end_for_others(waiting, served, now)]
        return min((moment for moment in moments if moment is not None), default=None)

    def _end_for_their_own(self, waiting: Waiting, now: datetime) -> datetime | None:
        queued = Counter(part for _, shares in waiting.with_shares() for part in {share.route for share in shares})
        most, moments = max(1, self.count // 2), []
        for turn in self.open_turns():
            behind = queued[turn.share.route]
            if turn.blocks or not behind:
                continue
            end = turn.since + max(FIRST_SECONDS, self.first_block_time * most / (most + behind))
            if end <= now:
                turn.is_over = True
            else:
                moments.append(end)
        return min(moments, default=None)

    def _end_for_others(self, waiting: Waiting, served: Served, now: datetime) -> datetime | None:
        """Ends one turn for each waiting share that has less and gets none of the places about to be free."""
        staying = {root: turn.share for root, turn in self.turns.items() if not turn.is_over}
        coming = fair_choice(waiting, staying, self.count, served)
        load = load_of([*staying.values(), *(share for _, share in coming)], self.count, served)
        left_out = waiting.without({request.root for request, _ in coming})
        left = {share: None for _, shares in left_out.with_shares() for share in shares}
        while left:
            share = min(left, key=load.turn)
            leads = [(load.lead(turn.share, share), turn) for turn in self.open_turns()]
            most = max((lead for lead, _ in leads), default=0)
            if most <= 0:
                return None
            end, _, turn = min(
                ((turn.ends_for_others(most), turn.blocks, turn) for lead, turn in leads if lead == most),
                key=lambda entry: entry[:2],
            )
            if end > now:
                return end
            _give_up(turn, share, load)
            del left[share]
        return None


def _give_up(turn: Turn, to: Share, load: Load) -> None:
    turn.is_over = True
    load.add(turn.share, -1)
    load.add(to)
