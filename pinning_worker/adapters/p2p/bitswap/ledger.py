"""What one peer wants from us. Pure: messages and stored blocks in, the next wants to answer out.

A want is `todo` until we have looked for its block. One that could not be met is kept as `unmet`, and becomes todo
again when the block is stored. One whose answer was lost with its stream goes back to todo (`put_back`): the peer does
not repeat it (Kubo asks again only after 40 s).

Rules: at most MOST_WANTS from one peer; over it new wants are dropped, which is the peer's loss alone. A full wantlist
replaces everything. A block is answered once for each time it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from pinning_worker.adapters.p2p.bitswap.wire import Message, Want
from pinning_worker.domain.cid import BadCid, cid_from_bytes

MOST_WANTS = 1024


class Ledger:
    """By binary CID, oldest first."""

    def __init__(self) -> None:
        self.todo: dict[bytes, Want] = {}
        self.unmet: dict[bytes, Want] = {}
        self._multihashes: dict[bytes, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self.todo) + len(self.unmet)

    @property
    def missing(self) -> Iterable[bytes]:
        """The multihashes of unmet wants."""
        return self._multihashes.keys()

    def hear(self, message: Message) -> int:
        """The wantlist of a message. Returns how many wants were dropped: too many, or not a CID."""
        if message.full:
            self.todo.clear()
            for want in list(self.unmet.values()):
                self._met(want)
        return sum(not self._note(want) for want in message.wants)

    def stored(self, multihash: bytes) -> bool:
        """A block came in. True if this peer waits for it."""
        waiting = [self.unmet[cid] for cid in self._multihashes.get(multihash, ())]
        for want in waiting:
            self._met(want)
            self.todo[want.cid] = want
        return bool(waiting)

    def next(self) -> Want | None:
        """The oldest want to look at; it is no longer todo."""
        return self.todo.pop(next(iter(self.todo))) if self.todo else None

    def put_back(self, wants: Iterable[Want]) -> None:
        """They were answered, but the answer was lost: first in line again. A newer word of the peer stands."""
        lost = {want.cid: want for want in wants}
        for cid in lost.keys() & self.unmet.keys():
            self._met(self.unmet[cid])
        self.todo = {**lost, **self.todo}

    def not_here(self, want: Want) -> None:
        """Looked for, not found: remembered."""
        if want.cid not in self.todo:
            self.unmet[want.cid] = want
            self._multihashes.setdefault(cid_from_bytes(want.cid).multihash, set()).add(want.cid)

    def _note(self, want: Want) -> bool:
        self.todo.pop(want.cid, None)
        if old := self.unmet.get(want.cid):
            self._met(old)
        if want.cancel:
            return True
        if len(self) >= MOST_WANTS or not _is_cid(want.cid):
            return False
        self.todo[want.cid] = want
        return True

    def _met(self, want: Want) -> None:
        del self.unmet[want.cid]
        multihash = cid_from_bytes(want.cid).multihash
        cids = self._multihashes[multihash]
        cids.discard(want.cid)
        if not cids:
            del self._multihashes[multihash]


def _is_cid(data: bytes) -> bool:
    try:
        cid_from_bytes(data)
    except BadCid:
        return False
    return True
