"""Publishing so that messages arrive: oldest first, as fast as the peers' queues empty, and no faster.

Each peer has an outgoing queue. Before each message we look at those queues and wait while one holds ROOM messages: a
single answer leaves at once, two hundred leave within a second or two, and the queues stay short. A peer whose queue
does not move stands still or is hostile, and we wait for it no longer than STUCK_SECONDS; until it moves again messages
wait in its queue, which is bounded (`bounds/outgoing_queue.py`); that peer alone loses the rest. Seconds in which our
own process stood still (a busy machine, a long computation) do not count: no queue could move in them.

The messages that wait here are bounded; a new one that does not fit is lost, counted and logged. So is one too large
for one RPC: the library would drop it silently.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, Protocol, TypeVar

import structlog
import trio

MOST_MESSAGES = 4096
MOST_BYTES = 32 * 1024 * 1024
LARGEST = 1024 * 1024 - 16 * 1024  # an RPC has 1 MiB; signature, topic and the record of our addresses go along
ROOM = 16
LOOK_AGAIN_SECONDS = 0.002
STUCK_SECONDS = 0.5
LAST_WRITE_SECONDS = 0.1  # the task that sends may still hold a message after it left its queue, unseen
LONGEST_LOOK_SECONDS = 10 * LOOK_AGAIN_SECONDS  # a look that took longer than this was our own standstill

_log = structlog.get_logger(__name__)

PeerT = TypeVar("PeerT")


class Sized(Protocol):
    def __len__(self) -> int: ...


class Publisher(Generic[PeerT]):
    """`send(topic, data)` publishes; `queues()` are the peers' outgoing queues, as they are now."""

    def __init__(
        self, send: Callable[[str, bytes], Awaitable[None]], queues: Callable[[], Mapping[PeerT, Sized]]
    ) -> None:
        self.overflowed = 0
        self._send = send
        self._queues = queues
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._sending = 0
        self._news = trio.Event()
        self._stuck: set[PeerT] = set()

    def put(self, topic: str, data: bytes) -> bool:
        """Takes a message to publish. Never waits. False, counted and logged: it is too large, or there was no room."""
        if len(data) > LARGEST or len(self._waiting) >= MOST_MESSAGES or self._bytes + len(data) > MOST_BYTES:
            self.overflowed += 1
            _log.warning("pubsub.not_published", topic=topic, bytes=len(data), so_far=self.overflowed)
            return False
        self._waiting.append((topic, data))
        self._bytes += len(data)
        self._news.set()
        return True

    @property
    def unsent(self) -> int:
        """Messages that wait here, or are being handed to the queues."""
        return len(self._waiting) + self._sending

    async def run(self) -> None:
        """Publishes until cancelled."""
        while True:
            while not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
            await self._room()
            topic, data = self._waiting.popleft()
            self._bytes -= len(data)
            self._sending = 1
            await self._send(topic, data)
            self._sending = 0

    async def drain(self) -> None:
        """Returns once all messages have left the queues, except the queues that do not move."""
        while self.unsent or self._filled(1) - self._stuck:  # noqa: ASYNC110  a queue has no event
            await trio.sleep(LOOK_AGAIN_SECONDS)
        await trio.sleep(LAST_WRITE_SECONDS)

    async def _room(self) -> None:
        """Returns when no queue that moves is half full."""
        waited = 0.0
        while full := self._full():
            if waited > STUCK_SECONDS:
                self._stuck |= full
                _log.info("pubsub.peers_stuck", peers=len(self._stuck))
                return
            before = trio.current_time()
            await trio.sleep(LOOK_AGAIN_SECONDS)
            waited += min(trio.current_time() - before, LONGEST_LOOK_SECONDS)

    def _full(self) -> set[PeerT]:
        full = self._filled(ROOM)
        self._stuck &= full
        return full - self._stuck

    def _filled(self, messages: int) -> set[PeerT]:
        return {peer for peer, queue in self._queues().items() if len(queue) >= messages}
