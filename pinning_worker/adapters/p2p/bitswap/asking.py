"""Whom to ask for a block: plain bookkeeping for each want, and one pure rule.

The rule, in words: the favourite (at first whoever asked us to pin) is asked for the block itself. Only when it is
away, slow or has refused, others are asked whether they have it, FANOUT at a time, in order; whoever says HAVE is asked
for the block. So a block comes once, not from everybody, and strangers learn of a want only when it is needed.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.domain.cid import Cid

FANOUT = 3


@dataclass(slots=True)
class Open:
    """A block that is not here yet, as far as we know; `missing` once the store was looked into.

    `places`: the CIDs that name it, with their depths (one raw and one dag-pb may share the same bytes).
    """

    places: list[tuple[Cid, int]]
    missing: bool = False
    asked: dict[str, WantType] = field(default_factory=dict)
    has: dict[str, None] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    @property
    def cid(self) -> Cid:
        return self.places[0][0]

    def refuse(self, peer: str) -> None:
        self.asked.pop(peer, None)
        self.has.pop(peer, None)
        self.refused.add(peer)

    def forget(self, peer: str) -> None:
        """The peer is gone: what it was asked and said counts no more."""
        self.asked.pop(peer, None)
        self.has.pop(peer, None)
        self.refused.discard(peer)


def whom_to_ask(
    want: Open, peers: Sequence[str], favourite: str | None, slow: Container[str]
) -> Iterator[tuple[str, WantType]]:
    """What to ask now, and of whom; nothing while somebody who is not slow owes us the block.

    `peers`: those connected, the likeliest first. `slow`: those of them that owe answers and have given none for a
    while.
    """
    if not want.missing:
        return
    quick = [peer for peer in peers if peer not in slow and peer not in want.refused]
    if any(want.asked.get(peer) is WantType.BLOCK for peer in quick):
        return
    holder = next((peer for peer in want.has if peer in quick), favourite if favourite in quick else None)
    if holder is not None:
        yield holder, WantType.BLOCK
        return
    owed = sum(peer in want.asked for peer in quick)
    for peer in [peer for peer in quick if peer not in want.asked][: max(0, FANOUT - owed)]:
        yield peer, WantType.HAVE
