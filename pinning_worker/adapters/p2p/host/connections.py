"""Connections: choosing one, awaiting its end, and cleaning up a broken one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import structlog
import trio
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.addresses import is_circuit

if TYPE_CHECKING:
    from libp2p.network.swarm import Swarm

CLOSE_SECONDS = 5.0
CLEANUP_SECONDS = 5.0
POLL_SECONDS = 1.0

_log = structlog.get_logger(__name__)


def is_relayed(connection: Any) -> bool:
    """Does that connection go through a relay itself?"""
    return any(is_circuit(str(address)) for address in connection.get_transport_addresses())


def direct_to(swarm: Swarm, peer: ID) -> SwarmConn | None:
    """The newest open connection to that peer that goes through no relay."""
    for each in reversed(cast("list[SwarmConn]", swarm.get_connections(peer))):
        if not each.is_closed and not is_relayed(each.muxed_conn):
            return each
    return None


async def ended(connection: Any) -> None:
    """Returns when the connection has ended, or CLOSE_SECONDS after it began to close."""
    closed: trio.Event | None = getattr(connection, "event_closed", None)
    if closed is None:
        while not connection.is_closed:  # noqa: ASYNC110  other muxers have no event to wait for
            await trio.sleep(POLL_SECONDS)
        return
    shutting_down: trio.Event = getattr(connection, "event_shutting_down", closed)
    await shutting_down.wait()
    with trio.move_on_after(CLOSE_SECONDS):
        await closed.wait()


async def quietly(cleanup: Callable[[], Awaitable[None]], seconds: float = CLEANUP_SECONDS) -> None:
    """Runs the cleanup of a broken thing, for so many seconds at most, and logs its exception."""
    with trio.move_on_after(seconds):
        try:
            await cleanup()
        except Exception as error:  # noqa: BLE001  the connection may be gone, which is why it is cleaned up
            _log.debug("libp2p.cleanup_failed", error=repr(error))
