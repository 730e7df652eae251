"""How long a fetch keeps its place while others wait.

A fetch alone has all the time of its budget. While others wait,
- one that has brought nothing yet gives up its place after FIRST_SECONDS, one that brings nothing more after
  IDLE_SECONDS, and any after LONGEST_SECONDS, to a share that has fewer fetches running;
- the patience for a first block shrinks with the share's own queue, down to FIRST_SECONDS.
What was paid for keeps its place. A turn that is over ends the fetch as its own deadline would: nobody had it, or
blocks stopped coming, and then those held are kept for the retry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pinning_worker.domain.pin import Share
from pinning_worker.steps.fair_share import PAID_FOR, Load, Served, Waiting, fair_choice, load_of

FIRST_SECONDS = timedelta(seconds=5)
IDLE_SECONDS = timedelta(seconds=15)
LONGEST_SECONDS = timedelta(seconds=60)


@dataclass(slots=True)
class Turn:
    """A fetch that has a place: for whom, since when, and what it has brought."""

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
        """It may have to give up its place."""
        return not self.is_over and self.share != PAID_FOR

    @property
    def ends_for_others(self) -> datetime:
        """When it gives up its place to somebody who has less."""
        patience = IDLE_SECONDS if self.blocks else FIRST_SECONDS
        return min(self.moved_at + patience, self.since + LONGEST_SECONDS)


@dataclass(frozen=True, slots=True)
class Places:
    """All there are, in whose turn they are, and how long a fetch waits for its first block when nobody else waits."""

    count: int
    turns: Mapping[bytes, Turn]
    first_block: timedelta

    def running(self) -> dict[bytes, Share]:
        return {root: turn.share for root, turn in self.turns.items()}

    def open_turns(self) -> list[Turn]:
        return [turn for turn in self.turns.values() if turn.is_open]

    def soonest_end(self) -> datetime | None:
        """Before it no turn need be looked at, if none is shortened by its own queue."""
        return min((turn.ends_for_others for turn in self.open_turns()), default=None)

    def end_turns(self, waiting: Waiting, served: Served, now: datetime) -> datetime | None:
        """Ends the turns that are over while these wait. Returns when the next will be."""
        waiting = waiting.without(self.turns)
        moments = [self._end_for_their_own(waiting, now), self._end_for_others(waiting, served, now)]
        return min((moment for moment in moments if moment is not None), default=None)

    def _end_for_their_own(self, waiting: Waiting, now: datetime) -> datetime | None:
        queued = Counter(part for _, shares in waiting.with_shares() for part in {share[:2] for share in shares})
        most, moments = max(1, self.count // 2), []
        for turn in self.open_turns():
            behind = queued[turn.share[:2]]
            if turn.blocks or not behind:
                continue
            end = turn.since + max(FIRST_SECONDS, self.first_block * most / (most + behind))
            if end <= now:
                turn.is_over = True
            else:
                moments.append(end)
        return min(moments, default=None)

    def _end_for_others(self, waiting: Waiting, served: Served, now: datetime) -> datetime | None:
        """One turn for each that waits, has less, and will not be served by a place that is being given up."""
        staying = {root: turn.share for root, turn in self.turns.items() if not turn.is_over}
        coming = fair_choice(waiting, staying, self.count, served)
        load = load_of([*staying.values(), *(share for _, share in coming)], self.count, served)
        left_out = waiting.without({request.root for request, _ in coming})
        left = {share: None for _, shares in left_out.with_shares() for share in shares}
        while left:
            share = min(left, key=load.turn)
            richer = [turn for turn in self.open_turns() if load.has_less(share, turn.share)]
            if not richer:
                return None
            over = [turn for turn in richer if turn.ends_for_others <= now]
            if not over:
                return min(turn.ends_for_others for turn in richer)
            _give_up(max(over, key=lambda turn: (load.turn(turn.share), -turn.blocks)), share, load)
            del left[share]
        return None


def _give_up(turn: Turn, to: Share, load: Load) -> None:
    turn.is_over = True
    load.add(turn.share, -1)
    load.add(to)
