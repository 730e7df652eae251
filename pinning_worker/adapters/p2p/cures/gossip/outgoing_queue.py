"""A peer that stands still for some seconds must still get all our answers.

The fault: a browser that stands still for three seconds (a page that computes, a tab in the background) while 1000
answers are due hears 186 of them. Why: the library keeps 32 messages for each peer, whatever their size, and silently
drops all that come while it has them. Where: `PriorityQueue`, filled by `GossipSub.send_rpc`.

The cure: a queue with lanes, bounded in bytes (`bounds/outgoing_queue.py`), in the place of the library's.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue

from pinning_worker.adapters.p2p.bounds.outgoing_queue import Lane, OutgoingQueue, Together
from pinning_worker.adapters.p2p.cures.once import replace

_log = structlog.get_logger(__name__)


def _log_dropped(messages: int) -> None:
    _log.debug("pubsub.queue_of_stuck_peer_dropped", messages=messages)


_together = Together(_log_dropped)

Send = Callable[[GossipSub, ID, rpc_pb2.RPC, bool], None]
Close = Callable[[RpcQueue], None]


def mend() -> None:
    replace(GossipSub, "send_rpc", _say_whose)
    replace(RpcQueue, "__init__", _with_lanes)
    replace(RpcQueue, "close", _and_empty)


class LibraryQueue:
    """Replaces the library's PriorityQueue, with its methods."""

    def __init__(self) -> None:
        self.lanes = OutgoingQueue(_together)

    def __len__(self) -> int:
        return len(self.lanes)

    def push(self, rpc: rpc_pb2.RPC, priority: bool | Lane = False) -> bool:
        """`priority`: the lane, if the caller knows whose message it is (`_say_whose`)."""
        lane = _lane_of(rpc, priority is Lane.OURS)
        return self.lanes.push(rpc.SerializeToString(), lane, trio.current_time())

    def pop(self) -> _Wire | None:
        wire = self.lanes.pop(trio.current_time())
        return None if wire is None else _Wire(wire)


class _Wire:
    """An RPC whose bytes are all that the library uses."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire

    def SerializeToString(self) -> bytes:
        return self._wire


def _lane_of(rpc: rpc_pb2.RPC, ours: bool) -> Lane:
    if rpc.publish:
        return Lane.OURS if ours else Lane.OTHERS
    if rpc.subscriptions or rpc.control.graft or rpc.control.prune:
        return Lane.MESH
    return Lane.GOSSIP


def _say_whose(stock: Send) -> Send:
    def mended(self: GossipSub, peer_id: ID, rpc: rpc_pb2.RPC, priority: Any = False) -> None:
        us = self.pubsub.my_id.to_bytes() if self.pubsub is not None else b""
        if rpc.publish and all(message.from_id == us for message in rpc.publish):
            priority = Lane.OURS
        stock(self, peer_id, rpc, priority)

    return mended


def _with_lanes(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: RpcQueue, *args: Any, **options: Any) -> None:
        stock(self, *args, **options)
        self._queue = LibraryQueue()  # type: ignore[assignment]  # the library uses push, pop and len only

    return mended


def _and_empty(stock: Close) -> Close:
    """Closes the queue of a peer that is gone, and empties it: none of it will be sent."""

    def mended(self: RpcQueue) -> None:
        stock(self)
        if isinstance(self._queue, LibraryQueue):  # a queue that was made before this cure is the library's
            self._queue.lanes.clear()

    return mended
