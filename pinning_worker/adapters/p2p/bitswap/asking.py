"""Whom to ask for a block: plain bookkeeping for each want, and one pure rule.

The rule, in words: the favourite (at first whoever asked us to pin) is asked for the block itself. Only when it is
away, slow or has refused, others are asked whether they have it, FANOUT at a time, in order; whoever says HAVE is asked
for the block. So a block comes once, not from everybody, and strangers learn of a want only when it is needed.

Whoever keeps silent takes nobody's place: each lets one more be asked. So while nobody answers, twice as many are asked
each time, up to MOST_ASKED; and of those who said HAVE twice as many are asked for the block, up to MOST_GIVERS. A
crowd of the silent hides one who has the block for a few rounds, not for as many as it counts heads. Who was silent is
known to `hearing`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.domain.content.cid import Cid

FANOUT = 3
MOST_ASKED = 64  # at a time, whether they have it
MOST_GIVERS = 8  # at a time, for the block itself: each of them may send it


@dataclass(slots=True)
class Open:
    """A block that is not here yet, as far as we know; `missing` once the store was looked into; `coming` when it is in
    our hands, on its way through the queue. `too_large`: bytes of a message with it, as a peer says who has it.

    `places`: the CIDs that name it, with their depths (one raw and one dag-pb may share the same bytes).
    """

    places: list[tuple[Cid, int]]
    missing: bool = False
    coming: bool = False
    too_large: int = 0
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


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who may be asked. `peers`: those connected, the likeliest first. `slow`: those of them that owe answers and have
    given none for a while. How many of them were `silent`, lately or now; how many of those `broke` their word: said
    that they have a block, and did not give it.
    """

    peers: Sequence[str]
    favourite: str | None = None
    slow: Container[str] = ()
    silent: int = 0
    broke: int = 0

    def quick(self, want: Open) -> list[str]:
        return [peer for peer in self.peers if peer not in self.slow and peer not in want.refused]


def whom_to_ask(want: Open, crowd: Crowd) -> Iterator[tuple[str, WantType]]:
    """What to ask now, and of whom; nothing while somebody who is not slow owes us the block."""
    if not want.missing or want.coming or _is_owed(want, crowd.slow):
        return
    quick = crowd.quick(want)
    holders = [peer for peer in quick if peer in want.has] if want.has else []
    if not holders and crowd.favourite in quick:
        holders = [crowd.favourite]
    for peer in holders[: min(MOST_GIVERS, 1 + crowd.broke)]:
        yield peer, WantType.BLOCK
    if holders:
        return
    fresh = [peer for peer in quick if peer not in want.asked]
    asked = len(quick) - len(fresh)
    for peer in fresh[: max(0, min(MOST_ASKED, FANOUT + crowd.silent) - asked)]:
        yield peer, WantType.HAVE


def _is_owed(want: Open, slow: Container[str]) -> bool:
    return any(kind is WantType.BLOCK and peer not in slow for peer, kind in want.asked.items())
