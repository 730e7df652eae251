"""A peer that stands still for some seconds must still get all our answers.

What happens: a browser that stands still for three seconds (a page that computes, a tab in the background) while 1000
answers are due hears 186 of them. Why: the library keeps 32 messages for each peer, whatever their size, and what
comes when it has them is dropped without a word. Where: `PriorityQueue`, filled by `GossipSub.send_rpc`.

The cure: four lanes for each peer, each bounded in bytes. Mesh control and subscriptions leave first, then gossip about
messages; then messages, ours and those of others, in their order. When a lane is full,
- ours keeps what it has, up to LANES[Lane.OURS], some 1200 answers, and refuses more, as the library does;
- those of others and gossip lose their oldest: nobody waits for them as one waits for an answer, and there are other
  ways to hear them;
- mesh control is refused: the library tries that again.

What waits is kept as the bytes that will be sent, once for all peers it waits for. All queues together hold MOST_OF_ALL
bytes: above that the peer that has taken nothing for longest loses its queue. So does one that took nothing for
STUCK_SECONDS, when the next message to anybody is queued.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from enum import Enum
from itertools import count
from typing import Any, NamedTuple
from weakref import ref

import structlog
import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue

from pinning_worker.adapters.p2p.cures.once import replace

MIB = 1024 * 1024
MOST_OF_ALL = 32 * MIB
STUCK_SECONDS = 300.0  # a message of 1 MiB takes long on a thin line
PER_MESSAGE = 256  # bytes that a message costs besides its own
PER_PLACE = 128  # and that its place in a queue costs

_log = structlog.get_logger(__name__)

Send = Callable[[GossipSub, ID, rpc_pb2.RPC, bool], None]
Close = Callable[[RpcQueue], None]


class Lane(Enum):
    MESH = "mesh control, subscriptions"
    GOSSIP = "what we have, want, do not want"
    OURS = "messages of ours"
    OTHERS = "messages of others"


class Limit(NamedTuple):
    messages: int
    bytes: int
    loses_oldest: bool


LANES = {
    Lane.MESH: Limit(32, MIB, loses_oldest=False),
    Lane.GOSSIP: Limit(32, MIB, loses_oldest=True),
    Lane.OURS: Limit(4096, 2 * MIB, loses_oldest=False),
    Lane.OTHERS: Limit(32, MIB, loses_oldest=True),
}


def mend() -> None:
    replace(GossipSub, "send_rpc", _say_whose)
    replace(RpcQueue, "__init__", _with_lanes)
    replace(RpcQueue, "close", _and_empty)


class Waiting:
    """An RPC as it will be sent, and in how many queues it is."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self.size = len(wire) + PER_MESSAGE
        self.queues = 0

    def SerializeToString(self) -> bytes:
        """All that the library asks of what it takes from a queue."""
        return self.wire


class _All:
    """What the queues of this process hold together."""

    def __init__(self) -> None:
        self.bytes = 0
        self.moved: OrderedDict[OutgoingQueue, float] = OrderedDict()  # those with something in them -> when
        self._last: Callable[[], Waiting | None] = lambda: None

    def once(self, wire: bytes) -> Waiting:
        """The same message goes to all peers, one after the other: it is kept once."""
        last = self._last()
        if last is None or last.wire != wire:
            last = Waiting(wire)
            self._last = ref(last)
        return last

    def keep(self, message: Waiting) -> None:
        self.bytes += PER_PLACE + (0 if message.queues else message.size)
        message.queues += 1

    def let_go(self, message: Waiting) -> None:
        message.queues -= 1
        self.bytes -= PER_PLACE + (0 if message.queues else message.size)

    def make_room(self) -> None:
        """Who is stuck for too long loses its queue; and the longest stuck, while there is too much of it all."""
        too_long_ago = trio.current_time() - STUCK_SECONDS
        while self.moved:
            longest, moved = next(iter(self.moved.items()))
            if self.bytes <= MOST_OF_ALL and moved > too_long_ago:
                return
            _log.debug("pubsub.queue_of_stuck_peer_dropped", messages=len(longest))
            longest.clear()


_all = _All()


class _Messages:
    """A lane: what waits in it, each with its place in the order of all that waits for this peer."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.bytes = 0
        self.waiting: deque[tuple[int, Waiting]] = deque()

    def add(self, place: int, message: Waiting) -> bool:
        """False: there is no room. One message fits always."""
        while self.waiting and (
            len(self.waiting) >= self.limit.messages or self.bytes + message.size > self.limit.bytes
        ):
            if not self.limit.loses_oldest:
                return False
            self.take()
        self.waiting.append((place, message))
        self.bytes += message.size
        _all.keep(message)
        return True

    def take(self) -> Waiting:
        _, message = self.waiting.popleft()
        self.bytes -= message.size
        _all.let_go(message)
        return message


class OutgoingQueue:
    """In the place of the library's PriorityQueue, with its methods."""

    def __init__(self) -> None:
        self._lanes = {lane: _Messages(limit) for lane, limit in LANES.items()}
        self._places = count()

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def lengths(self) -> dict[Lane, int]:
        return {name: len(lane.waiting) for name, lane in self._lanes.items()}

    def push(self, rpc: rpc_pb2.RPC, priority: bool | Lane = False) -> bool:
        """`priority`: the lane, from those of us who know whose message it is."""
        lane = _lane_of(rpc, priority is Lane.OURS)
        added = self._lanes[lane].add(next(self._places), _all.once(rpc.SerializeToString()))
        if added and self not in _all.moved:
            _all.moved[self] = trio.current_time()
        _all.make_room()
        return added

    def pop(self) -> Waiting | None:
        lane = self._next()
        if lane is None:
            return None
        message = lane.take()
        self._has_moved()
        return message

    def clear(self) -> None:
        for lane in self._lanes.values():
            while lane.waiting:
                lane.take()
        _all.moved.pop(self, None)

    def _next(self) -> _Messages | None:
        for lane in (Lane.MESH, Lane.GOSSIP):
            if self._lanes[lane].waiting:
                return self._lanes[lane]
        ours, others = self._lanes[Lane.OURS], self._lanes[Lane.OTHERS]
        if ours.waiting and others.waiting:
            return min(ours, others, key=lambda lane: lane.waiting[0][0])
        return ours if ours.waiting else others if others.waiting else None

    def _has_moved(self) -> None:
        if self._next() is None:
            _all.moved.pop(self, None)
        else:
            _all.moved[self] = trio.current_time()
            _all.moved.move_to_end(self)


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
        self._queue = OutgoingQueue()  # type: ignore[assignment]  # it is asked for no more than push, pop and len

    return mended


def _and_empty(stock: Close) -> Close:
    """Closed is the queue of a peer that is gone: nothing of it will be sent."""

    def mended(self: RpcQueue) -> None:
        stock(self)
        if isinstance(self._queue, OutgoingQueue):  # one that was made before we came is not ours
            self._queue.clear()

    return mended
