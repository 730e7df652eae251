"""The bitswap engine: it joins the parts, follows connections, and is the Fetcher of the stories.

    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        fetched = await engine.fetch(root, peers=[asker], origins=[], budget=budget, progress=progress)

One engine for a host. Fetching (wants, sessions) and serving (server) know nothing of each other; they meet on the
shelf: a block that a session stores goes at once to every peer that waits for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from trio_typing import TaskStatus

from pinning_worker.adapters.p2p.bitswap.arriving_blocks import Shelf
from pinning_worker.adapters.p2p.bitswap.conduct import Conduct
from pinning_worker.adapters.p2p.bitswap.receiver import Receiver
from pinning_worker.adapters.p2p.bitswap.seeking import Providers, seek
from pinning_worker.adapters.p2p.bitswap.server import BlockSource, Server
from pinning_worker.adapters.p2p.bitswap.session import Progress, Session
from pinning_worker.adapters.p2p.bitswap.wants import Wants
from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.frames import GONE, StreamGone
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.peer_ids import remote_peer
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.content import Blocks, Budget, Fetched
from pinning_worker.ungroup import one_error

PROTOCOLS = (TProtocol("/ipfs/bitswap/1.2.0"), TProtocol("/ipfs/bitswap/1.1.0"))
OPEN_SECONDS = 10.0
DIAL_SECONDS = 10.0
MOST_ORIGINS = 20
SWEEP_SECONDS = 30.0


class Engine:
    """Implements `ports.Fetcher`, and serves `source` (by default all blocks of the store) to every peer.

    `serves`: whether a block may leave for others.
    `providers`: a directory of other providers, searched when the peers that asked don't give a block.
    """

    def __init__(
        self,
        host: Host,
        blocks: Blocks,
        *,
        source: BlockSource | None = None,
        providers: Providers | None = None,
        serves: Callable[[Multihash], bool] = lambda multihash: True,
    ) -> None:
        self._host = host
        self._providers = providers
        self._connected: set[PeerId] = set()
        self._nursery: trio.Nursery | None = None
        self.conduct = Conduct()
        self.server = Server(source or blocks, self._open_stream, self._start, serves)
        self._wants = Wants(self._connected, self._open_stream, self._start)
        self._shelf = Shelf(blocks, self.server.stored)
        self.receiver = Receiver(self._wants, self.server, self.conduct, self._ban, host.address_of)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until cancelled."""
        with one_error():
            async with trio.open_nursery() as self._nursery:
                self._plug_in()
                task_status.started()
                try:
                    while True:
                        await trio.sleep(SWEEP_SECONDS)
                        self.server.sweep()
                        self._wants.sweep()
                finally:
                    self._unplug()

    async def fetch(
        self,
        root: Cid,
        *,
        peers: Sequence[PeerId],
        origins: Sequence[str],
        budget: Budget,
        progress: Progress,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Fetched:
        """See `ports.Fetcher`. May run many times at once; a block that several calls need is requested once and given
        to all."""
        session = Session(root, peers, budget, self._shelf, self._wants, is_over)
        looking = trio.CancelScope()
        self._start(partial(self._look_for_peers, root, session, origins[:MOST_ORIGINS], looking))
        self._wants.sessions.add(session)
        try:
            return await session.run(progress)
        finally:
            self._wants.sessions.discard(session)
            looking.cancel()

    def block_stored(self, multihash: Multihash) -> None:
        """Call it when a block came into the store from elsewhere: peers may be waiting for it."""
        self.server.stored(multihash)

    # ---------------------------------------------------------------- the host

    def _plug_in(self) -> None:
        for protocol in PROTOCOLS:
            self._host.raw.set_stream_handler(protocol, self._on_stream)
        self._host.on_connected.append(self._on_connected)
        self._host.on_disconnected.append(self._on_disconnected)
        self._host.on_ping.append(self._wants.pinged)
        self._connected.update(self._host.peers())

    def _unplug(self) -> None:
        for protocol in PROTOCOLS:
            self._host.raw.remove_stream_handler(protocol)
        self._host.on_connected.remove(self._on_connected)
        self._host.on_disconnected.remove(self._on_disconnected)
        self._host.on_ping.remove(self._wants.pinged)

    async def _on_stream(self, stream: INetStream) -> None:
        """Peers open a stream to send their wants, or blocks."""
        self._host.note_use(remote_peer(stream))
        await self.receiver.on_stream(stream)

    def _on_connected(self, peer: PeerId) -> None:
        if self.conduct.banned(peer, trio.current_time()):
            return self._start(partial(self._hang_up, peer))
        self._connected.add(peer)
        self._wants.connected(peer)
        self.server.connected(peer)
        return None

    def _on_disconnected(self, peer: PeerId) -> None:
        connected = self._host.is_connected(peer)
        if not connected:
            self._connected.discard(peer)
            self.server.disconnected(peer)
        self._wants.disconnected(peer, still_connected=connected)

    def _ban(self, peer: PeerId) -> None:
        self._connected.discard(peer)
        self._wants.forget(peer)
        self.server.forget(peer)
        self._start(partial(self._hang_up, peer))

    async def _open_stream(self, peer: PeerId) -> INetStream:
        """Raises StreamGone. Never dials: a peer that went away comes back by itself, or the host's owner dials it."""
        if peer not in self._connected:
            raise StreamGone("not connected")
        try:
            with trio.fail_after(OPEN_SECONDS):
                return await self._host.raw.new_stream(ID.from_string(peer), PROTOCOLS)
        except (*GONE, trio.TooSlowError) as error:
            raise StreamGone(f"no stream: {type(error).__name__}: {error}") from error

    async def _hang_up(self, peer: PeerId) -> None:
        with trio.move_on_after(DIAL_SECONDS), suppress(*GONE):
            await self._host.disconnect(peer)

    async def _look_for_peers(
        self, root: Cid, session: Session, origins: Sequence[str], scope: trio.CancelScope
    ) -> None:
        """Dials the origins and searches the directory, until the fetch ends. A cancel scope can be entered only once,
        so one task holds both."""
        with scope, one_error():
            async with trio.open_nursery() as nursery:
                for origin in origins:
                    nursery.start_soon(self._dial, origin)
                if self._providers is not None:
                    nursery.start_soon(seek, root, session, self._providers)

    async def _dial(self, origin: str) -> None:
        with suppress(BadAddress, CannotConnect):
            await self._host.connect_on_hearsay(origin, DIAL_SECONDS)

    def _start(self, task: Callable[[], Awaitable[None]]) -> None:
        if self._nursery is None:
            raise RuntimeError("the bitswap engine is not running")
        self._nursery.start_soon(task)
