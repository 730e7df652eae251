"""The bitswap engine: what comes in on streams, who is connected, and the Fetcher of the stories.

    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        fetched = await engine.fetch(root, peers=[asker], origins=[], budget=budget, progress=progress)

One engine for a host. Sessions (what we fetch) and the server (what we give) know nothing of each other; what joins
them is here: a block that a session stores is at once given to whoever waits for it.

Rules: a block is hashed before anybody gets it, and not even hashed when nobody waits for one. What nobody asked for
is dropped and counted against the sender. A peer that we asked nothing may send wantlists only: small messages, few
streams. Whatever a peer sends, the worst that happens is that its stream is reset and, at the ban, its connection
closed.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from trio_typing import TaskStatus

from pinning_worker.adapters.p2p.bitswap.conduct import Conduct, Fault
from pinning_worker.adapters.p2p.bitswap.frames import (
    GONE,
    LARGEST_FRAME,
    BadFrame,
    ByteStream,
    FrameReader,
    StreamGone,
    close_quietly,
)
from pinning_worker.adapters.p2p.bitswap.server import BlockSource, Server
from pinning_worker.adapters.p2p.bitswap.session import Progress, Session
from pinning_worker.adapters.p2p.bitswap.shelf import Shelf
from pinning_worker.adapters.p2p.bitswap.wantlist import Wantlist
from pinning_worker.adapters.p2p.bitswap.wire import BadMessage, Block, Presence, WantType, decode
from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect, one_error
from pinning_worker.adapters.p2p.host import Host
from pinning_worker.domain.cid import BadCid, Cid, cid_from_bytes
from pinning_worker.ports import Blocks, Budget, Fetched

PROTOCOLS = (TProtocol("/ipfs/bitswap/1.2.0"), TProtocol("/ipfs/bitswap/1.1.0"))
WANTLIST_FRAME = 256 * 1024  # the largest message of a peer that we asked nothing
LATE = 60.0  # seconds for which an asked peer may still send blocks
RECENT = 4096  # blocks wanted a moment ago: a late copy of one is nobody's fault
MOST_STREAMS = 64  # open at a time from one peer; Helia opens one for each message
OPEN_SECONDS = 10.0
DIAL_SECONDS = 10.0
MOST_ORIGINS = 20
SWEEP = 30.0

log = structlog.get_logger(__name__)


class Engine:
    """Implements `ports.Fetcher`, and serves `source` (by default all blocks of the store) to every peer."""

    def __init__(self, host: Host, blocks: Blocks, *, source: BlockSource | None = None) -> None:
        self.duplicates = 0
        self.conduct = Conduct()
        self.server = Server(source or blocks, self._open_stream, self._start)
        self._host = host
        self._shelf = Shelf(blocks, self.server.stored)
        self._connected: set[str] = set()
        self._wantlists: dict[str, Wantlist] = {}
        self._unwilling: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._streams: dict[str, int] = {}
        self._sessions: set[Session] = set()
        self._expected: dict[bytes, set[Session]] = {}
        self._recent: OrderedDict[bytes, None] = OrderedDict()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until cancelled."""
        with one_error():
            async with trio.open_nursery() as self._nursery:
                self._plug_in()
                task_status.started()
                try:
                    while True:
                        await trio.sleep(SWEEP)
                        self._sweep()
                finally:
                    self._unplug()

    async def fetch(
        self, root: Cid, *, peers: Sequence[str], origins: Sequence[str], budget: Budget, progress: Progress
    ) -> Fetched:
        """See `ports.Fetcher`. May run many times at once; the same block is then asked for once and given to all."""
        session = Session(root, peers, budget, self._shelf, self)
        self._sessions.add(session)
        dialling = trio.CancelScope()
        if origins:
            self._start(partial(self._dial_all, origins[:MOST_ORIGINS], dialling))
        try:
            return await session.run(progress)
        finally:
            dialling.cancel()
            self._sessions.discard(session)

    def block_stored(self, multihash: bytes) -> None:
        """Tell it of a block that came into the store from elsewhere: peers may be waiting for it."""
        self.server.stored(multihash)

    # ---------------------------------------------------------------- what sessions ask for (Market)

    def peers(self) -> Sequence[str]:
        now = trio.current_time()
        return [peer for peer in self._connected if now >= self._unwilling.get(peer, 0.0)]

    def ask(self, peer: str, cid: Cid, kind: WantType, session: Session) -> None:
        wantlist = self._wantlists.setdefault(peer, Wantlist())
        wantlist.want(cid, kind, session)
        self._asked[peer] = trio.current_time()
        self._say(peer, wantlist)

    def let_go(self, peer: str, multihash: bytes, session: Session) -> None:
        if wantlist := self._wantlists.get(peer):
            wantlist.let_go(multihash, session)
            self._asked[peer] = trio.current_time()
            self._say(peer, wantlist)

    def expect(self, multihash: bytes, session: Session) -> None:
        self._expected.setdefault(multihash, set()).add(session)

    def expect_no_more(self, multihash: bytes, session: Session) -> None:
        sessions = self._expected.get(multihash, set())
        sessions.discard(session)
        if not sessions:
            self._expected.pop(multihash, None)
            self._recent[multihash] = None
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)

    # ---------------------------------------------------------------- what peers send

    async def _on_stream(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id.to_base58()
        if self.conduct.banned(peer, trio.current_time()) or self._streams.get(peer, 0) >= MOST_STREAMS:
            await close_quietly(stream, reset=True)
            return
        self._streams[peer] = self._streams.get(peer, 0) + 1
        broken = True
        try:
            await self._listen(peer, FrameReader(stream, lambda: self._frame_limit(peer)))
            broken = False
        except (BadFrame, BadMessage) as error:
            self._blame(peer, Fault.BAD_MESSAGE, str(error))
        except StreamGone as error:
            log.debug("bitswap stream ended", peer=peer, error=str(error))
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]
            await close_quietly(stream, reset=broken)

    async def _listen(self, peer: str, frames: FrameReader) -> None:
        while (frame := await frames.next()) is not None:
            message = decode(frame)
            for block in message.blocks:
                await self._receive(peer, block)
            for presence in message.presences:
                self._note_presence(peer, presence)
            if message.wants or message.full:
                dropped = self.server.hear(peer, message)
                if dropped:
                    self._blame(peer, Fault.FLOOD, f"{dropped} wants too many")
            if self.conduct.banned(peer, trio.current_time()):
                return

    async def _receive(self, peer: str, block: Block) -> None:
        if not self._expected and not self._recent:
            return self._blame(peer, Fault.UNASKED_BLOCK, "a block that nobody asked for")
        multihash = b"\x12\x20" + hashlib.sha256(block.data).digest()
        sessions = self._expected.get(multihash)
        if wantlist := self._wantlists.get(peer):
            wantlist.met(multihash)
        if sessions:
            data = bytes(block.data)
            for session in list(sessions):
                await session.deliver(peer, multihash, data)
        elif multihash in self._recent and self._asked_lately(peer):
            self.duplicates += 1
        else:
            self._blame(peer, Fault.UNASKED_BLOCK, "a block that nobody asked for")
        return None

    def _note_presence(self, peer: str, presence: Presence) -> None:
        try:
            multihash = cid_from_bytes(presence.cid).multihash
        except BadCid:
            return self._blame(peer, Fault.BAD_MESSAGE, "a presence without a CID")
        for session in list(self._expected.get(multihash, ())):
            session.answered(peer, multihash, have=presence.have)
        return None

    def _frame_limit(self, peer: str) -> int:
        return LARGEST_FRAME if self._asked_lately(peer) else WANTLIST_FRAME

    def _asked_lately(self, peer: str) -> bool:
        """Blocks may come from it: it was asked for some, perhaps a little while ago."""
        return bool(self._wantlists.get(peer)) or trio.current_time() < self._asked.get(peer, -LATE) + LATE

    def _blame(self, peer: str, fault: Fault, what: str) -> None:
        banned = self.conduct.blame(peer, fault, trio.current_time())
        log.info("bitswap fault", peer=peer, fault=fault.name, what=what, banned=banned)
        if banned:
            self._connected.discard(peer)
            self._forget_asking(peer)
            self.server.forget(peer)
            self._start(partial(self._hang_up, peer))

    # ---------------------------------------------------------------- streams and connections

    async def _open_stream(self, peer: str) -> INetStream:
        """Raises StreamGone. Never dials: whoever went away comes back by itself, or is dialled by the host's owner."""
        if peer not in self._connected:
            raise StreamGone("not connected")
        try:
            with trio.fail_after(OPEN_SECONDS):
                return await self._host.raw.new_stream(ID.from_string(peer), PROTOCOLS)
        except (*GONE, trio.TooSlowError) as error:
            raise StreamGone(f"no stream: {type(error).__name__}: {error}") from error

    def _say(self, peer: str, wantlist: Wantlist) -> None:
        if wantlist.saying is None:
            wantlist.saying = trio.CancelScope()
            self._start(partial(self._say_all, peer, wantlist, wantlist.saying))

    async def _say_all(self, peer: str, wantlist: Wantlist, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await wantlist.say(lambda: self._open_to_say(peer, wantlist))
        except StreamGone as error:
            log.debug("bitswap peer can't be asked", peer=peer, error=str(error))
            self._unwilling[peer] = trio.current_time() + OPEN_SECONDS
            self._forget_asking(peer)
        if not wantlist and wantlist.saying is None and self._wantlists.get(peer) is wantlist:
            del self._wantlists[peer]

    async def _open_to_say(self, peer: str, wantlist: Wantlist) -> ByteStream:
        stream = await self._open_stream(peer)
        wantlist.said_on = stream.muxed_conn
        return stream

    def _plug_in(self) -> None:
        for protocol in PROTOCOLS:
            self._host.raw.set_stream_handler(protocol, self._on_stream)
        self._host.on_connected.append(self._came)
        self._host.on_disconnected.append(self._left)
        self._connected.update(self._host.peers())

    def _unplug(self) -> None:
        for protocol in PROTOCOLS:
            self._host.raw.remove_stream_handler(protocol)
        self._host.on_connected.remove(self._came)
        self._host.on_disconnected.remove(self._left)
        self._nursery = None

    def _came(self, peer: str) -> None:
        """A new connection. If it is not the first, the others may be dead, unnoticed: everything is said anew."""
        if self.conduct.banned(peer, trio.current_time()):
            return self._start(partial(self._hang_up, peer))
        self._unwilling.pop(peer, None)
        self._forget_asking(peer)
        self._connected.add(peer)
        self.server.connected(peer)
        return None

    def _left(self, peer: str) -> None:
        """A connection ended: the last one, or the one on which we asked, or one that does not matter."""
        if not self._host.is_connected(peer):
            self._connected.discard(peer)
            self.server.disconnected(peer)
            self._forget_asking(peer)
        elif (wantlist := self._wantlists.get(peer)) and wantlist.said_on and wantlist.said_on.is_closed:
            self._forget_asking(peer)

    def _forget_asking(self, peer: str) -> None:
        """Nothing that we said to it counts any more; the sessions ask again, whom they can."""
        wantlist = self._wantlists.pop(peer, None)
        if wantlist is not None and wantlist.saying is not None:
            wantlist.saying.cancel()
        for session in self._sessions:
            session.lost(peer)

    async def _hang_up(self, peer: str) -> None:
        with trio.move_on_after(DIAL_SECONDS), suppress(*GONE):
            await self._host.disconnect(peer)

    async def _dial_all(self, origins: Sequence[str], scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                for origin in origins:
                    nursery.start_soon(self._dial, origin)

    async def _dial(self, origin: str) -> None:
        with suppress(BadAddress, CannotConnect):
            await self._host.connect(origin, DIAL_SECONDS)

    def _start(self, task: Callable[[], Awaitable[None]]) -> None:
        if self._nursery is None:
            raise RuntimeError("the bitswap engine is not running")
        self._nursery.start_soon(task)

    def _sweep(self) -> None:
        now = trio.current_time()
        self.server.sweep()
        self._unwilling = {peer: until for peer, until in self._unwilling.items() if until > now}
        self._asked = {peer: at for peer, at in self._asked.items() if now - at < LATE or peer in self._wantlists}
