"""Our wantlist for one peer, on streams that the test makes: the wants that stand, the cancels, and their order."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing
from libp2p.exceptions import BaseLibp2pError

from pinning_worker.adapters.p2p.bitswap.wantlist import Wantlist
from pinning_worker.adapters.p2p.bitswap.wants import Wants
from pinning_worker.adapters.p2p.bitswap.wire import Message, Want, WantType, decode
from pinning_worker.adapters.p2p.frames import FrameReader
from pinning_worker.domain.content.cid import RAW, cid_of
from pinning_worker.domain.identities import PeerId
from tests.adapters.p2p.bitswap.rig import until

PEER = PeerId("peer")
A, B = (cid_of(RAW, bytes([n])) for n in range(2))


class Line:
    """A stream to the peer, and its connection. `broken`: writes fail; a reset then waits for `reset_over`."""

    is_closed = False

    def __init__(self, *, broken: bool = False) -> None:
        self.muxed_conn = self
        self.resetting = False
        self.reset_over = trio.Event()
        self._broken = broken
        self._written = b""

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self._broken:
            raise BaseLibp2pError("gone")
        self._written += data

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        written, self._written = self._written, b""
        return written

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()

    async def reset(self) -> None:
        self.resetting = True
        await self.reset_over.wait()

    async def heard(self) -> list[Message]:
        """The messages that the peer has read since it last looked."""
        frames, heard = FrameReader(self), []
        while (frame := await frames.next()) is not None:
            heard.append(decode(frame))
        return heard


async def said(wantlist: Wantlist) -> list[Message]:
    """Everything that it has to say, on a stream."""
    line = Line()

    async def open_line() -> Line:
        return line

    await wantlist.send(open_line)
    return await line.heard()


async def test_a_presence_that_was_asked_is_taken_back_also_when_the_block_was_about_to_be_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wantlist, session = Wantlist(), object()
    wantlist.want(A, WantType.HAVE, session)
    await said(wantlist)
    wantlist.want(A, WantType.BLOCK, session)
    wantlist.cancel_want(A.multihash, session)
    assert await said(wantlist) == [Message([Want(A.binary, cancel=True)])]


async def test_what_the_peer_gave_is_taken_back_before_it_is_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """On a list of its own too, as it begins after a quiet while: a full list does not move Helia."""
    wantlist, session = Wantlist(), object()
    wantlist.want(A, WantType.BLOCK, session, received_before=True)
    want = Want(A.binary, WantType.BLOCK, send_dont_have=True)
    assert await said(wantlist) == [Message([Want(A.binary, cancel=True)]), Message([want], full=True)]


async def test_what_was_never_said_is_not_taken_back(autojump_clock: trio.testing.MockClock) -> None:
    wantlist, session = Wantlist(), object()
    wantlist.want(A, WantType.BLOCK, session)
    await said(wantlist)
    wantlist.want(B, WantType.BLOCK, session)
    wantlist.cancel_want(B.multihash, session)
    assert await said(wantlist) == []


async def test_a_stream_that_dies_late_takes_nothing_from_the_connection_that_came_after_it() -> None:
    lines: list[Line] = []

    async def open_line(_peer: PeerId) -> Any:
        lines.append(Line(broken=len(lines) < 2))
        if len(lines) == 1:
            lines[0].reset_over.set()
        return lines[-1]

    async with trio.open_nursery() as nursery:
        wants = Wants({PEER}, open_line, nursery.start_soon)
        session: Any = Holder()
        wants.ask(PEER, A, WantType.BLOCK, 1, session)
        await until(lambda: len(lines) == 2 and lines[1].resetting)
        wants.connected(PEER)
        wants.ask(PEER, B, WantType.BLOCK, 1, session)
        lines[1].reset_over.set()
        await until(lambda: len(lines) == 3)
        await trio.testing.wait_all_tasks_blocked()
        assert list(wants.peers()) == [PEER]
        assert [want.cid for message in await lines[2].heard() for want in message.wants] == [B.binary]
        nursery.cancel_scope.cancel()


class Holder:
    """Holds wants, as a session does."""

    def lost(self, peer: PeerId) -> None: ...
