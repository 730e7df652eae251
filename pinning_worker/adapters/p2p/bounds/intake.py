"""Messages that were received and not yet read: bounded in number and in bytes; the rest is dropped, and counted.

One flooder must not make us hold gigabytes, and must not be able to hide that it made us drop: `dropped` shows it. It
keeps nobody else waiting: addresses take turns (connections, where no address is known), and in a full queue the newest
message of the one that has the most makes room for one that has less.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from pinning_worker.domain.identities import PeerId

MOST_MESSAGES = 1024
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of another peer, its signature checked. `origin` signed it, `forwarder` handed it to us (peer ids),
    from `address` (whereabouts.py)."""

    origin: PeerId
    forwarder: PeerId
    data: bytes
    address: str = ""

    @property
    def source(self) -> str:
        return self.address or self.forwarder


@dataclass(slots=True)
class _Waiting:
    """The messages of one source, in order."""

    messages: deque[Heard] = field(default_factory=deque)
    bytes: int = 0


class Backlog:
    """The messages that wait. `gossip/intake.py` waits for one."""

    def __init__(self, most_messages: int = MOST_MESSAGES, most_bytes: int = MOST_BYTES) -> None:
        self.dropped = 0
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()  # the source whose turn is next comes first
        self._messages = 0
        self._bytes = 0

    def put(self, heard: Heard) -> bool:
        """False: there was no room, and the loss is counted."""
        if not self._make_room(heard):
            self.dropped += 1
            return False
        self._count(self._waiting.setdefault(heard.source, _Waiting()), heard, 1)
        self._waiting[heard.source].messages.append(heard)
        return True

    def take(self) -> Heard | None:
        """The oldest message of the source whose turn it is; None: nothing waits."""
        if not self._waiting:
            return None
        source, waiting = next(iter(self._waiting.items()))
        heard = waiting.messages.popleft()
        self._count(waiting, heard, -1)
        if waiting.messages:
            self._waiting.move_to_end(source)
        else:
            del self._waiting[source]
        return heard

    def _make_room(self, heard: Heard) -> bool:
        size, own = len(heard.data), self._waiting.get(heard.source) or _Waiting()
        if size > self._most_bytes:
            return False
        while self._messages >= self._most_messages:
            greediest = max(self._waiting.values(), key=lambda each: len(each.messages))
            if len(greediest.messages) <= len(own.messages) + 1:
                return False
            self._drop(greediest)
        while self._bytes + size > self._most_bytes:
            greediest = max(self._waiting.values(), key=lambda each: each.bytes)
            if greediest.bytes <= own.bytes + size:
                return False
            self._drop(greediest)
        return True

    def _drop(self, greediest: _Waiting) -> None:
        self.dropped += 1
        lost = greediest.messages.pop()
        self._count(greediest, lost, -1)
        if not greediest.messages:
            del self._waiting[lost.source]

    def _count(self, waiting: _Waiting, heard: Heard, messages: int) -> None:
        waiting.bytes += messages * len(heard.data)
        self._bytes += messages * len(heard.data)
        self._messages += messages
