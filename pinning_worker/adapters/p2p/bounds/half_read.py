"""Messages whose end has not come: how much all of them together may hold, and which go when it is more.

A peer that announces a message and sends all but its last byte makes us hold it until a deadline ends it, on each of
its streams. All peers together may make us hold MOST bytes in this way. Over it, messages go until an eighth is free:
of the address that holds most, there of the peer that holds most, and there the one to which nothing has come for
longest. So a slow line keeps its message beside messages held on purpose, even if a byte now and then keeps these
young.

`unfinished.py` bounds gossip's frames besides, for each peer and address: they are small, and come in a moment, so
there the frame that began first goes. Here that would be the slowest line's.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pinning_worker.adapters.p2p.bounds.unread import FREED, MIB
from pinning_worker.domain.identities import NO_PEER, PeerId

MOST = 128 * MIB

GiveUp = Callable[[], None]


@dataclass(slots=True)
class _Part:
    """The part of a message that is here."""

    address: str
    peer: PeerId
    bytes: int = 0
    since: float = 0.0  # when something last came


class HalfRead:
    """`bytes`: the number held now. Times are seconds of a clock that does not run backwards."""

    def __init__(self, most: int = MOST) -> None:
        self.bytes = 0
        self.most = most
        self._parts: dict[GiveUp, _Part] = {}

    @contextmanager
    def one(self, give_up: GiveUp, peer: PeerId = NO_PEER, address: str = "") -> Iterator[GiveUp]:
        """A message, under the name of the callable that gives it up; it counts until the block ends. A peer whose
        address is not known counts as an address of its own."""
        self._parts[give_up] = _Part(address or peer, peer)
        try:
            yield give_up
        finally:
            self._forget(give_up)

    def received(self, message: GiveUp, count: int, now: float) -> None:
        """So many bytes of it came at that time. Does nothing if the message has had to go."""
        part = self._parts.get(message)
        if part is None:
            return
        part.bytes += count
        part.since = now
        self.bytes += count
        if self.bytes > self.most:
            for each in self._to_give_up():
                self._forget(each)
                each()

    def _to_give_up(self) -> list[GiveUp]:
        """The messages that go; each costs as many steps as there are addresses and peers."""
        waiting: dict[str, dict[PeerId, deque[GiveUp]]] = defaultdict(lambda: defaultdict(deque))
        of_addresses: Counter[str] = Counter()
        of_peers: dict[str, Counter[PeerId]] = defaultdict(Counter)
        for message, part in sorted(self._parts.items(), key=lambda pair: pair[1].since):
            waiting[part.address][part.peer].append(message)
            of_addresses[part.address] += part.bytes
            of_peers[part.address][part.peer] += part.bytes
        chosen, held = [], self.bytes
        while held > self.most - self.most // FREED:
            address = max(of_addresses, key=of_addresses.__getitem__)
            peer = max(of_peers[address], key=of_peers[address].__getitem__)
            chosen.append(waiting[address][peer].popleft())
            size = self._parts[chosen[-1]].bytes
            held -= size
            of_addresses[address] -= size
            of_peers[address][peer] -= size
        return chosen

    def _forget(self, message: GiveUp) -> None:
        if (part := self._parts.pop(message, None)) is not None:
            self.bytes -= part.bytes
