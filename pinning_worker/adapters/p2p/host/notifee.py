"""Connected peers: the host's notifications, passed on to every subscriber, and counted once per peer.

A peer may have several connections. `on_connected` is called for each new one, because a peer that comes back before
its old connection has died must be served anew; `on_disconnected` when one has ended, with `is_connected` saying
whether any is left. Callbacks are plain functions that must not block; one that raises is a bug, logged as such, and
does not keep the others from being called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.peer_ids import remote_peer
from pinning_worker.domain.identities import PeerId

PeerCallback = Callable[[PeerId], None]

_log = structlog.get_logger(__name__)


class Neighbours(INotifee):
    """Registered with the swarm as its notifee; the library awaits every method, so none waits for anything."""

    def __init__(self) -> None:
        self.on_connected: list[PeerCallback] = []
        self.on_disconnected: list[PeerCallback] = []
        self._changed = trio.Event()

    async def changed(self) -> None:
        """Returns when the next connection has come or gone."""
        await self._changed.wait()

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        self._tell(self.on_connected, conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        self._tell(self.on_disconnected, conn)

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None: ...

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...

    def _tell(self, callbacks: list[PeerCallback], conn: Any) -> None:
        peer = remote_peer(conn)
        for callback in tuple(callbacks):
            try:
                callback(peer)
            except Exception:  # noqa: BLE001  logged with its traceback; the library would hide it in its own log
                _log.exception("libp2p.bug_in_our_callback", peer=peer)
        self._changed.set()
        self._changed = trio.Event()
