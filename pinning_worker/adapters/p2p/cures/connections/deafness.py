"""A host must not go deaf after 250 inbound connections in total.

The fault: from the 251st inbound connection on, nobody gets in, even with none open. Why: each one takes a slot of
`max_connections - min_connections`, and the handler that holds it waits "to keep the connection alive" until the whole
service finishes. Where: `Swarm._do_handle_inbound_connection`, its two `await self.manager.wait_finished()`.

The cure: the handler holds the slot while that connection lives.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio
from libp2p.abc import IMuxedConn
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.swarm import Swarm
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.cures.ports.half_open import handshake_finished
from pinning_worker.adapters.p2p.host.connections import ended
from pinning_worker.adapters.p2p.peer_ids import peer_id

CLOSE_SECONDS = 5.0

_log = structlog.get_logger(__name__)

Handler = Callable[[Swarm, ReadWriteCloser, Multiaddr, Any], Awaitable[None]]


def mend() -> None:
    replace(Swarm, "_do_handle_inbound_connection", _hold_while_it_lives)


def _hold_while_it_lives(_stock: Handler) -> Handler:
    async def mended(self: Swarm, raw: ReadWriteCloser, maddr: Multiaddr, _failure_event: Any) -> None:
        remote = self._build_remote_multiaddr(raw)
        try:
            if remote is None or await self.connection_gate.is_allowed(remote):
                connection = await _muxed(self, raw, maddr)
                handshake_finished(raw, peer_id(connection.peer_id))
                await ended(connection)
        except Exception as error:  # noqa: BLE001  whatever a stranger's handshake raises ends that connection only
            _log.debug("libp2p.inbound_refused", remote=str(remote), error=repr(error))
        finally:
            await _close(raw)

    return mended


async def _muxed(swarm: Swarm, raw: ReadWriteCloser, maddr: Multiaddr) -> IMuxedConn:
    """The connection, secured, multiplexed and known to the swarm. QUIC connections arrive multiplexed."""
    if isinstance(raw, IMuxedConn):
        await swarm.add_conn(raw, direction="inbound")
        return raw
    return await swarm.upgrade_inbound_raw_conn(RawConnection(raw, False), maddr)


async def _close(raw: ReadWriteCloser) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
        try:
            await raw.close()
        except Exception as error:  # noqa: BLE001  a broken connection may fail to close in any way
            _log.debug("libp2p.close_failed", error=repr(error))
