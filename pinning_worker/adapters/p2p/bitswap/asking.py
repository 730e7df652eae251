"""Which peers to ask for a block: plain bookkeeping for each want, and one pure rule.

The rule, in words: the favourite (at first the peer that asked us to pin) gets the want for the block itself. Only when
it is away, slow or has refused, we ask other peers whether they have the block, FANOUT at a time, in order; a peer that
answers HAVE gets the want for the block. So a block comes once, not from every peer, and strangers learn of a want only
when we need them.

A silent peer takes no other peer's place: each lets us ask one more. So while no peer answers, each round asks twice as
many, up to MOST_ASKED; and of the peers that said HAVE each round asks twice as many for the block, up to MOST_GIVERS.
A crowd of silent peers hides the one that has the block for a few rounds, not for as many as there are heads. `hearing`
remembers which peers were silent.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.identities import PeerId

FANOUT = 3
MOST_ASKED = 64  # at a time, whether they have it
MOST_GIVERS = 8  # at a time, for the block itself: each of them may send it


@dataclass(slots=True)
class Open:
    """A block that is not here yet, as far as we know; `missing` once the store was searched; `coming` while we hold it
    and it is on its way through the queue. `too_large`: the length of a message with this block, according to a peer
    that has it.

    `places`: the CIDs that name it, with their depths (one raw and one dag-pb may share the same bytes).
    """

    places: list[tuple[Cid, int]]
    missing: bool = False
    coming: bool = False
    too_large: int = 0
    asked: dict[PeerId, WantType] = field(default_factory=dict)
    has: dict[PeerId, None] = field(default_factory=dict)
    refused: set[PeerId] = field(default_factory=set)

    @property
    def cid(self) -> Cid:
        return self.places[0][0]

    def refuse(self, peer: PeerId) -> None:
        self.asked.pop(peer, None)
        self.has.pop(peer, None)
        self.refused.add(peer)

    def forget(self, peer: PeerId) -> None:
        """The peer is gone: drop our wants to it, and its answers."""
        self.asked.pop(peer, None)
        self.has.pop(peer, None)
        self.refused.discard(peer)


@dataclass(frozen=True, slots=True)
class Crowd:
    """The peers that we may ask. `peers`: the connected ones, the likeliest first. `slow`: the ones that owe answers
    and have given none for a while. `silent`: the number that were silent, lately or now; `broke`: the number
    of these that broke their word, that is, said HAVE and did not deliver."""

    peers: Sequence[PeerId]
    favourite: PeerId | None = None
    slow: Container[PeerId] = ()
    silent: int = 0
    broke: int = 0

    def quick(self, want: Open) -> list[PeerId]:
        return [peer for peer in self.peers if peer not in self.slow and peer not in want.refused]


def choose_peers(want: Open, crowd: Crowd) -> Iterator[tuple[PeerId, WantType]]:
    """The wants to send now, each with its peer; none while a peer that is not slow owes us the block."""
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


def _is_owed(want: Open, slow: Container[PeerId]) -> bool:
    return any(kind is WantType.BLOCK and peer not in slow for peer, kind in want.asked.items())
