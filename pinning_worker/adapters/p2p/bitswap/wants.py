"""All our wants: the peers that we asked, the sessions that wait, and how the asking goes on.

The sessions' side of the engine (their `Market`). An expected block goes to every session that waits for it, from
whatever peer it comes; a wantlist for each peer sends each want once for all of them.

Rules: nothing is dialled here. A peer that can't be asked is passed over for UNWILLING_SECONDS, or until it comes on a
new connection. Blocks may still come from a peer LATE_SECONDS after we last asked it. RECENT of the blocks wanted a
moment ago are remembered, for a late copy of one is nobody's fault; and as many of the blocks that peers gave, for
those peers may think that we have them when we ask once more. The speed of a peer's line stays known when it goes: of
MOST_LINES peers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

import structlog
import trio
from libp2p.abc import INetStream

from pinning_worker.adapters.p2p.bitswap.hearing import Hearing
from pinning_worker.adapters.p2p.bitswap.session import Session
from pinning_worker.adapters.p2p.bitswap.wantlist import Wantlist
from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.adapters.p2p.bounds.pace import Pace
from pinning_worker.adapters.p2p.frames import ByteStream, StreamGone
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId

UNWILLING_SECONDS = 10.0
LATE_SECONDS = 60.0
RECENT = 4096
MOST_LINES = 1024

log = structlog.get_logger(__name__)


class Wants:
    """`open_stream` opens one to a connected peer, or raises StreamGone. `start` starts a task."""

    def __init__(
        self,
        connected: Collection[PeerId],
        open_stream: Callable[[PeerId], Awaitable[INetStream]],
        start: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self.sessions: set[Session] = set()
        self.hearing = Hearing()
        self._connected = connected
        self._open_stream = open_stream
        self._start = start
        self._wantlists: dict[PeerId, Wantlist] = {}
        self._unwilling: dict[PeerId, float] = {}
        self._asked: dict[PeerId, float] = {}
        self._expected: dict[Multihash, set[Session]] = {}
        self._recent: OrderedDict[Multihash, None] = OrderedDict()
        self._paces: OrderedDict[PeerId, Pace] = OrderedDict()
        self._given: OrderedDict[tuple[PeerId, Multihash], bool] = OrderedDict()

    # ---------------------------------------------------------------- what sessions ask for (Market)

    def peers(self) -> Sequence[PeerId]:
        now = trio.current_time()
        return [peer for peer in self._connected if now >= self._unwilling.get(peer, 0.0)]

    def has_room(self, peer: PeerId, size: int, *, owes: bool) -> bool:
        pace = self._paces.get(peer)
        if pace is None:
            return True
        return (not owes or pace.has_room(size)) and not pace.is_quiet_before(trio.current_time())

    def ask(self, peer: PeerId, cid: Cid, kind: WantType, size: int, session: Session) -> None:
        if kind is WantType.BLOCK:
            self._pace(peer).asked(cid.multihash, size, trio.current_time())
        wantlist = self._wantlists.setdefault(peer, Wantlist())
        wantlist.want(cid, kind, session, received_before=self._given.pop((peer, cid.multihash), False))
        self._send(peer, wantlist)

    def cancel_want(self, peer: PeerId, multihash: Multihash, session: Session) -> None:
        if wantlist := self._wantlists.get(peer):
            wantlist.cancel_want(multihash, session)
            if not wantlist.holds(multihash):
                self._pace(peer).settled(multihash, trio.current_time())
            self._send(peer, wantlist)

    def expect(self, multihash: Multihash, session: Session) -> None:
        self._expected.setdefault(multihash, set()).add(session)

    def expect_no_more(self, multihash: Multihash, session: Session) -> None:
        sessions = self._expected.get(multihash, set())
        sessions.discard(session)
        if not sessions:
            self._expected.pop(multihash, None)
            self._recent[multihash] = None
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)

    # ---------------------------------------------------------------- questions of the receiver

    @property
    def idle(self) -> bool:
        """No block is expected, nor was a moment ago."""
        return not self._expected and not self._recent

    def waiting_for(self, multihash: Multihash) -> list[Session]:
        return list(self._expected.get(multihash, ()))

    def was_wanted(self, multihash: Multihash) -> bool:
        return multihash in self._recent

    def asked_lately(self, peer: PeerId) -> bool:
        """Blocks may come from it: we asked it for some, perhaps a little while ago."""
        if self._wantlists.get(peer):
            return True
        return trio.current_time() < self._asked.get(peer, -LATE_SECONDS) + LATE_SECONDS

    def receive(self, peer: PeerId, multihash: Multihash) -> None:
        """The peer sent that block."""
        if (wantlist := self._wantlists.get(peer)) and wantlist.receive(multihash):
            self._pace(peer).settled(multihash, trio.current_time())
            self._given[peer, multihash] = True
            if len(self._given) > RECENT:
                self._given.popitem(last=False)
            for session in self.sessions:
                session.gave(peer)

    def received_from(self, peer: PeerId, count: int) -> None:
        """Bytes of the peer's messages, whole ones and parts."""
        if (pace := self._paces.get(peer)) is not None and pace.owed:
            pace.received(count, trio.current_time())
            for session in self.sessions:
                session.trickled(peer, count)

    def offered_too_large(self, peer: PeerId, length: int) -> bool:
        """The peer sends a message that is larger than any may be. True if it owes us blocks, so that one of them may
        be that large."""
        if (pace := self._paces.get(peer)) is None or not pace.owed:
            return False
        for session in list(self.sessions):
            session.offered_too_large(peer, length)
        return True

    def pinged(self, peer: PeerId, began: bool) -> None:
        """A ping of the peer came, or was answered."""
        if (pace := self._paces.get(peer)) is None:
            return
        if began:
            return pace.ping_began(trio.current_time())
        pace.ping_ended()
        for session in self.sessions:
            session.ring()
        return None

    # ---------------------------------------------------------------- peers that come and go

    def connected(self, peer: PeerId) -> None:
        """A new connection. If it is not the first, the others may be dead, unnoticed: every want is sent anew."""
        self._unwilling.pop(peer, None)
        self.forget(peer)

    def disconnected(self, peer: PeerId, *, still_connected: bool) -> None:
        """A connection ended: the last one, or that on which we asked, or (`still_connected`) another one."""
        wantlist = self._wantlists.get(peer)
        sent_on = wantlist.sent_on if wantlist is not None else None
        if not still_connected or (sent_on is not None and sent_on.is_closed):
            self.forget(peer)

    def forget(self, peer: PeerId) -> None:
        """Drops all that we sent to it; the sessions ask the peers that they still can."""
        if (pace := self._paces.get(peer)) is not None:
            pace.disconnected()
        wantlist = self._wantlists.pop(peer, None)
        if wantlist is not None and wantlist.sending is not None:
            wantlist.sending.cancel()
        for session in self.sessions:
            session.lost(peer)

    def sweep(self) -> None:
        """To be called now and then."""
        now = trio.current_time()
        self._unwilling = {peer: until for peer, until in self._unwilling.items() if until > now}
        self._asked = {peer: at for peer, at in self._asked.items() if now - at < LATE_SECONDS}

    def _pace(self, peer: PeerId) -> Pace:
        pace = self._paces.setdefault(peer, Pace())
        self._paces.move_to_end(peer)
        if len(self._paces) > MOST_LINES:
            self._paces.popitem(last=False)
        return pace

    # ---------------------------------------------------------------- sending

    def _send(self, peer: PeerId, wantlist: Wantlist) -> None:
        self._asked[peer] = trio.current_time()
        if wantlist.sending is None:
            wantlist.sending = trio.CancelScope()
            self._start(partial(self._send_all, peer, wantlist, wantlist.sending))

    async def _send_all(self, peer: PeerId, wantlist: Wantlist, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await wantlist.send(partial(self._open, peer, wantlist))
        except StreamGone as error:
            log.debug("bitswap.peer_not_asked", peer=peer, error=str(error))
            if self._wantlists.get(peer) is wantlist:  # and not one for a connection that has come meanwhile
                self._unwilling[peer] = trio.current_time() + UNWILLING_SECONDS
                self.forget(peer)
        if not wantlist and wantlist.sending is None and self._wantlists.get(peer) is wantlist:
            del self._wantlists[peer]

    async def _open(self, peer: PeerId, wantlist: Wantlist) -> ByteStream:
        stream = await self._open_stream(peer)
        wantlist.sent_on = stream.muxed_conn
        return stream
