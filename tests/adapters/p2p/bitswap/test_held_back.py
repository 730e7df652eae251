"""A fetch of which the asker sends bytes and never a block: others who have it are asked before the fetch is over.

One session with peers that are made up, on a clock that moves by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import trio
from trio.testing import MockClock

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap.arriving_blocks import Shelf
from pinning_worker.adapters.p2p.bitswap.hearing import Hearing
from pinning_worker.adapters.p2p.bitswap.session import Session
from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.domain.content.cid import RAW, Cid, cid_of
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.content import Budget
from pinning_worker.ungroup import one_error
from tests.adapters.p2p.bitswap.rig import BUDGET

LIAR, OTHER_LIAR, HONEST, LINE_BYTES = PeerId("liar"), PeerId("other liar"), PeerId("honest"), 9 * 1024
LIMITS = replace(BUDGET, fetch_time=timedelta(seconds=900))  # an operator's, unless set otherwise
BLOCK = b"what the honest one has"


class Wire:
    """Implements `Market`. A peer of `liars` says that it has everything, and sends LINE_BYTES a second of nothing."""

    def __init__(self, nursery: trio.Nursery, peers: Sequence[PeerId], liars: Sequence[PeerId]) -> None:
        self.hearing = Hearing()
        self._nursery = nursery
        self._peers = peers
        self._liars = liars

    def peers(self) -> Sequence[PeerId]:
        return self._peers

    def has_room(self, peer: PeerId, size: int, *, owes: bool) -> bool:
        return True

    def ask(self, peer: PeerId, cid: Cid, kind: WantType, size: int, session: Session) -> None:
        if kind is WantType.HAVE:
            self._nursery.start_soon(self._has, peer, cid, session)
        elif peer in self._liars:
            self._nursery.start_soon(self._trickle, peer, session)
        else:
            self._nursery.start_soon(session.deliver, peer, cid.multihash, BLOCK)

    async def _has(self, peer: PeerId, cid: Cid, session: Session) -> None:
        session.answered(peer, cid.multihash, have=True)

    async def _trickle(self, peer: PeerId, session: Session) -> None:
        while True:
            await trio.sleep(1)
            session.trickled(peer, LINE_BYTES)

    def cancel_want(self, peer: PeerId, multihash: Multihash, session: Session) -> None: ...

    def expect(self, multihash: Multihash, session: Session) -> None: ...

    def expect_no_more(self, multihash: Multihash, session: Session) -> None: ...


async def fetched(askers: Sequence[PeerId], peers: Sequence[PeerId], liars: Sequence[PeerId], budget: Budget) -> bool:
    """Raises Stalled, NotFound."""
    root, blocks = cid_of(RAW, BLOCK), MemoryBlocks()

    async def progress(blocks: int, size: int) -> None: ...

    with one_error():
        async with trio.open_nursery() as nursery:
            wire = Wire(nursery, peers, liars)
            session = Session(root, askers, budget, Shelf(blocks, lambda _multihash: None), wire)
            found = await session.run(progress)
            nursery.cancel_scope.cancel()
    return root.multihash in found.blocks


async def test_an_asker_that_sends_bytes_and_no_block_does_not_keep_it_from_others(autojump_clock: MockClock) -> None:
    assert await fetched([LIAR], [LIAR, HONEST], [LIAR], BUDGET)


async def test_nor_do_two_that_take_turns(autojump_clock: MockClock) -> None:
    assert await fetched([LIAR, OTHER_LIAR, HONEST], [LIAR, OTHER_LIAR, HONEST], [LIAR, OTHER_LIAR], LIMITS)
