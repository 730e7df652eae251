"""The wants of one peer, to be answered by us. Pure: messages and stored blocks in, the next wants to answer out.

A want is `todo` until it is taken `in_hand`: we look for its block, and send it or its absence. A want that we could
not meet is then kept as `unmet`, and becomes todo again when the block is stored. A want whose answer was lost with its
stream goes back to todo (`put_back`): the peer does not repeat it (Kubo asks again only after 40 s). Changes count
while a want is in hand: a want that is cancelled or repeated meanwhile is put nowhere; a want whose block is stored
just then is todo again.

Rules: one peer has at most MOST_WANTS; over it new wants are dropped, which is the peer's loss alone. A want for an
invalid CID is left out, the others stand. A full wantlist replaces everything. A block is answered once for each want
that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pinning_worker.adapters.p2p.bitswap.wire import Message, Want
from pinning_worker.domain.content.cid import BadCid, CidBytes, cid_from_bytes
from pinning_worker.domain.content.multihash import Multihash

MOST_WANTS = 1024


class LeftOut(NamedTuple):
    """Wants of a message that changed nothing: over the limit, for something that is no CID of this world, or cancels
    of wants that did not exist (`idle`)."""

    over: int
    odd: int
    idle: int


class Ledger:
    """By binary CID, oldest first."""

    def __init__(self) -> None:
        self.todo: dict[CidBytes, Want] = {}
        self.in_hand: dict[CidBytes, Want] = {}
        self.unmet: dict[CidBytes, Want] = {}
        self._stored: set[CidBytes] = set()  # in hand, and stored meanwhile
        self._cids: dict[Multihash, set[CidBytes]] = {}  # in hand or unmet

    def __len__(self) -> int:
        return len(self.todo) + len(self.unmet)

    def receive(self, message: Message) -> LeftOut:
        """Takes in the wantlist of a message."""
        if message.full:
            for places in (self.todo, self.in_hand, self.unmet):
                places.clear()
            self._cids.clear()
            self._stored.clear()
        known = [want for want in message.wants if _is_cid(want.cid)]
        idle = sum(want.cancel and not self._has(want.cid) for want in known)
        over = sum(not self._note(want) for want in known)
        return LeftOut(over, len(message.wants) - len(known), idle)

    def _has(self, cid: CidBytes) -> bool:
        return cid in self.todo or cid in self.in_hand or cid in self.unmet

    def stored(self, multihash: Multihash) -> bool:
        """A block came in. True if this peer waits for it."""
        cids = self._cids.get(multihash, set()).copy()
        for cid in cids:
            if cid in self.in_hand:
                self._stored.add(cid)
            else:
                self.todo[cid] = self._drop(cid)
        return bool(cids)

    def next(self) -> Want | None:
        """The oldest want to look at; it is in hand from now on."""
        if not self.todo:
            return None
        want = self.todo.pop(next(iter(self.todo)))
        self._keep(self.in_hand, want)
        return want

    def answered(self, wants: Iterable[Want]) -> None:
        """Their answers were sent."""
        for want in wants:
            if self.in_hand.get(want.cid) is want:
                self._drop(want.cid)

    def put_back(self, wants: Iterable[Want]) -> None:
        """Their answers were lost: they are first in line again. A newer message of the peer about them stands."""
        lost = {}
        for want in wants:
            if self.in_hand.get(want.cid) is want or self.unmet.get(want.cid) is want:
                lost[want.cid] = self._drop(want.cid)
        self.todo = {**lost, **self.todo}

    def not_here(self, want: Want) -> bool:
        """The block was not found: the want is remembered as unmet. False: not so, for meanwhile the block came or the
        peer changed its want."""
        if self.in_hand.get(want.cid) is not want:
            return False
        is_stored = want.cid in self._stored
        self._drop(want.cid)
        if is_stored:
            self.todo[want.cid] = want
        else:
            self._keep(self.unmet, want)
        return not is_stored

    def _note(self, want: Want) -> bool:
        self.todo.pop(want.cid, None)
        if want.cid in self.in_hand or want.cid in self.unmet:
            self._drop(want.cid)
        if want.cancel:
            return True
        if len(self) >= MOST_WANTS:
            return False
        self.todo[want.cid] = want
        return True

    def _keep(self, place: dict[CidBytes, Want], want: Want) -> None:
        place[want.cid] = want
        self._cids.setdefault(cid_from_bytes(want.cid).multihash, set()).add(want.cid)

    def _drop(self, cid: CidBytes) -> Want:
        """Removes it from in hand, or from unmet."""
        want = self.in_hand.pop(cid, None) or self.unmet.pop(cid)
        self._stored.discard(cid)
        multihash = cid_from_bytes(cid).multihash
        cids = self._cids[multihash]
        cids.discard(cid)
        if not cids:
            del self._cids[multihash]
        return want


def _is_cid(data: CidBytes) -> bool:
    try:
        cid_from_bytes(data)
    except BadCid:
        return False
    return True
