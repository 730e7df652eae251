"""The messages that wait to be sent to a peer: four lanes, each bounded in messages and in bytes.

Mesh control and subscriptions leave first, then gossip about messages; then messages, ours and those of others, in
their order. When a lane is full,
- ours keeps its messages, up to LANES[Lane.OURS], some 1200 answers, and refuses more, as the library does;
- those of others and gossip lose their oldest: a peer does not wait for them as for an answer, and can hear them in
  other ways;
- mesh control is refused: the library tries that again.

Each message is kept as the bytes that will be sent, once for all peers it waits for. All queues together hold
MOST_OF_ALL bytes: above that the peer that has taken nothing for longest loses its queue. So does one that took nothing
for STUCK_SECONDS, when the next message to any peer is queued.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from enum import Enum
from itertools import count
from typing import NamedTuple
from weakref import ref

MIB = 1024 * 1024
MOST_OF_ALL = 32 * MIB
STUCK_SECONDS = 300.0  # a message of 1 MiB takes long on a thin line
PER_MESSAGE = 256  # bytes that a message costs besides its own
PER_PLACE = 128  # and that its place in a queue costs


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


class Waiting:
    """An RPC in its final bytes, and the number of queues that it is in."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self.size = len(wire) + PER_MESSAGE
        self.queues = 0


class Together:
    """All queues of a process, and the bytes that they hold. `on_dropped` is called with the number of messages that a
    stuck peer loses."""

    def __init__(self, on_dropped: Callable[[int], None] = lambda _messages: None) -> None:
        self._on_dropped = on_dropped
        self.bytes = 0
        self.moved: OrderedDict[OutgoingQueue, float] = OrderedDict()  # each that is not empty -> when it last moved
        self._last: Callable[[], Waiting | None] = lambda: None

    def once(self, wire: bytes) -> Waiting:
        """The same message goes to all peers, one after the other: they share one copy."""
        last = self._last()
        if last is None or last.wire != wire:
            last = Waiting(wire)
            self._last = ref(last)
        return last

    def keep(self, message: Waiting) -> None:
        self.bytes += PER_PLACE + (0 if message.queues else message.size)
        message.queues += 1

    def release(self, message: Waiting) -> None:
        message.queues -= 1
        self.bytes -= PER_PLACE + (0 if message.queues else message.size)

    def make_room(self, now: float) -> None:
        """Empties each queue that is stuck for too long, and the longest stuck while all together hold too much."""
        too_long_ago = now - STUCK_SECONDS
        while self.moved:
            longest, moved = next(iter(self.moved.items()))
            if self.bytes <= MOST_OF_ALL and moved > too_long_ago:
                return
            self._on_dropped(len(longest))
            longest.clear()


class _Messages:
    """The messages in one lane, each with its place in the order of all that wait for this peer."""

    def __init__(self, limit: Limit, together: Together) -> None:
        self._together = together
        self.limit = limit
        self.bytes = 0
        self.waiting: deque[tuple[int, Waiting]] = deque()

    def add(self, place: int, message: Waiting) -> bool:
        """False: there is no room. One message always fits."""
        while self.waiting and (
            len(self.waiting) >= self.limit.messages or self.bytes + message.size > self.limit.bytes
        ):
            if not self.limit.loses_oldest:
                return False
            self.take()
        self.waiting.append((place, message))
        self.bytes += message.size
        self._together.keep(message)
        return True

    def take(self) -> Waiting:
        _, message = self.waiting.popleft()
        self.bytes -= message.size
        self._together.release(message)
        return message


class OutgoingQueue:
    """The messages that wait for one peer. Times are seconds of one clock."""

    def __init__(self, together: Together) -> None:
        self._together = together
        self._lanes = {lane: _Messages(limit, together) for lane, limit in LANES.items()}
        self._places = count()

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def lengths(self) -> dict[Lane, int]:
        return {name: len(lane.waiting) for name, lane in self._lanes.items()}

    def push(self, wire: bytes, lane: Lane, now: float) -> bool:
        """`wire`: an RPC in its final bytes. False: the lane is full and refuses it."""
        added = self._lanes[lane].add(next(self._places), self._together.once(wire))
        if added and self not in self._together.moved:
            self._together.moved[self] = now
        self._together.make_room(now)
        return added

    def pop(self, now: float) -> bytes | None:
        """The next message to send; None: the queue is empty."""
        lane = self._next()
        if lane is None:
            return None
        message = lane.take()
        self._has_moved(now)
        return message.wire

    def clear(self) -> None:
        for lane in self._lanes.values():
            while lane.waiting:
                lane.take()
        self._together.moved.pop(self, None)

    def _next(self) -> _Messages | None:
        for lane in (Lane.MESH, Lane.GOSSIP):
            if self._lanes[lane].waiting:
                return self._lanes[lane]
        ours, others = self._lanes[Lane.OURS], self._lanes[Lane.OTHERS]
        if ours.waiting and others.waiting:
            return min(ours, others, key=lambda lane: lane.waiting[0][0])
        return ours if ours.waiting else others if others.waiting else None

    def _has_moved(self, now: float) -> None:
        if self._next() is None:
            self._together.moved.pop(self, None)
        else:
            self._together.moved[self] = now
            self._together.moved.move_to_end(self)
