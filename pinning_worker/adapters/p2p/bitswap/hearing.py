"""Which peers answer our wants, and which keep silent: remembered over fetches, and over connections. Pure.

Rules: a silent peer comes after all others when we ask, and takes none of the places for asking. Any answer clears it
of a silence to a question. A broken promise (we asked it for a block and it gave none) is cleared by a block alone, or
by a plain no. At most MOST_PEERS are remembered, the newest.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum

from pinning_worker.domain.identities import PeerId

MOST_PEERS = 4096


class Rank(IntEnum):
    """In the order in which to ask."""

    GAVE = 0
    UNKNOWN = 1
    SILENT = 2
    BROKE_ITS_WORD = 3


class Hearing:
    def __init__(self) -> None:
        self._ranks: OrderedDict[PeerId, Rank] = OrderedDict()

    def rank(self, peer: PeerId) -> Rank:
        return self._ranks.get(peer, Rank.UNKNOWN)

    def is_silent(self, peer: PeerId) -> bool:
        return self.rank(peer) >= Rank.SILENT

    def gave(self, peer: PeerId) -> None:
        """It gave a block that we had asked it for."""
        self._note(peer, Rank.GAVE)

    def refused(self, peer: PeerId) -> None:
        """It said that it does not have the block: an answer like any other."""
        if self.is_silent(peer):
            self._note(peer, Rank.UNKNOWN)

    def promised(self, peer: PeerId) -> None:
        """It said that it has the block."""
        if self.rank(peer) is Rank.SILENT:
            self._note(peer, Rank.UNKNOWN)

    def kept_silent(self, peer: PeerId, *, promised: bool) -> None:
        """It answered nothing for too long. `promised`: it had said that it has the block."""
        self._note(peer, max(self.rank(peer), Rank.BROKE_ITS_WORD if promised else Rank.SILENT))

    def _note(self, peer: PeerId, rank: Rank) -> None:
        self._ranks[peer] = rank
        self._ranks.move_to_end(peer)
        if len(self._ranks) > MOST_PEERS:
            self._ranks.popitem(last=False)
