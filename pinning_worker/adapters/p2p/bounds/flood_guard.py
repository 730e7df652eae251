"""Limits on the gossip of one peer: excess is dropped before it costs anything, and a flooder is disconnected.

Four budgets of messages, each a bucket (bounds/bucket.py):
- of each origin, the peer that signed a message. Spent only once the signature holds, or a forger could spend it.
- of each connection, the peer that hands us messages: a SHARE of the total, in messages and in bytes, so that no one
  peer fills the cache of messages that we forward, however many origins it makes up.
- of each address (whereabouts.py), what its connections hand us together: half of the total.
- in total, messages and bytes.

However much others use up, one small message a second of each connection is looked at (FLOOR): so a peer that sends
little gets through from the address of flooders, and beside any number of them.

A peer is punished only for its own acts: its own messages at more than twice its budget until PATIENCE are lost, or
MOST_FORGED messages in an hour whose signature does not hold, which no honest peer forwards, or control over its budget
(bounds/gossip_budget.py) in MOST_OVERDONE frames within a minute. It is disconnected, and its messages are dropped for
AWAY_SECONDS. A peer that forwards validly signed messages of others is never punished for it: messages over their
origins' budgets are dropped, and not charged to the forwarder.

Direct peers (`trusted`: other pinning nodes) have TRUSTED_TIMES the budget of an origin and TRUSTED_SHARE of the total,
and lose the excess without being disconnected: they answer many at once and forward the messages of their browsers. A
hijacked one can thus use up half of our intake, no more; and a forger is disconnected even if it is a direct peer.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pinning_worker.adapters.p2p.bounds.bucket import Bucket
from pinning_worker.adapters.p2p.bounds.defaults import (
    GOSSIP_BYTES_PER_SECOND,
    MESSAGES_PER_PEER_PER_SECOND,
    MESSAGES_PER_SECOND,
)
from pinning_worker.adapters.p2p.bounds.gossip_budget import GossipBudget

SHARE = 0.25
ADDRESS_SHARE = 0.5
FLOOR = 1.0
FLOOR_BYTES = 4 * 1024
TRUSTED_TIMES = 10
TRUSTED_SHARE = 0.5
PATIENCE = 1_000
MOST_FORGED = 16
FORGED_SECONDS = 3600.0
MOST_OVERDONE = 16
OVERDONE_SECONDS = 60.0
CHANGES = 10.0  # of subscriptions
AWAY_SECONDS = 600.0
MOST_PEERS = 10_000  # remembered of each kind; the one longest silent is forgotten first

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GossipLimits:
    """`messages_per_peer_per_second` is for the peer that signed a message, the others for all messages together."""

    messages_per_peer_per_second: float = MESSAGES_PER_PEER_PER_SECOND
    messages_per_second: float = MESSAGES_PER_SECOND
    gossip_bytes_per_second: float = GOSSIP_BYTES_PER_SECOND


@dataclass(slots=True)
class Origin:
    """`over`: how many of the peer's own messages were refused, less those taken."""

    bucket: Bucket
    over: int = 0


@dataclass(slots=True)
class FloodGuard:
    """Call `admit` before checking the signature, `signed` or `forged` after. `send_away(peer, reason)` disconnects it.
    Peers are peer ids in their binary form."""

    limits: GossipLimits
    send_away: Callable[[bytes, str], None]
    trusted: frozenset[bytes] = frozenset()
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    _origins: OrderedDict[bytes, Origin] = field(default_factory=OrderedDict)
    _connections: OrderedDict[bytes, tuple[Bucket, Bucket]] = field(default_factory=OrderedDict)
    _addresses: OrderedDict[bytes, tuple[Bucket, Bucket]] = field(default_factory=OrderedDict)
    _floors: OrderedDict[bytes, Bucket] = field(default_factory=OrderedDict)
    _changes: OrderedDict[bytes, Bucket] = field(default_factory=OrderedDict)
    _total: tuple[Bucket, Bucket] | None = None
    _budgets: OrderedDict[bytes, GossipBudget] = field(default_factory=OrderedDict)
    _forged: OrderedDict[bytes, tuple[float, int]] = field(default_factory=OrderedDict)
    _overdone: OrderedDict[bytes, tuple[float, int]] = field(default_factory=OrderedDict)
    _away: OrderedDict[bytes, float] = field(default_factory=OrderedDict)

    def is_away(self, peer: bytes, now: float) -> bool:
        return now < self._away.get(peer, now)

    def admit(self, origin: bytes, forwarder: bytes, size: int, now: float, address: str = "") -> bool:
        """May a message of so many bytes be looked at? `origin` is a mere claim as yet."""
        if self.is_away(forwarder, now) or self.is_away(origin, now):
            return self._drop("away")
        own = self._own(origin, now)
        if not own.bucket.holds(1, now):
            if origin == forwarder and origin not in self.trusted:
                own.over += 1
                if own.over > PATIENCE:
                    self._punish(forwarder, "too many messages of its own", now)
            return self._drop("origin")
        total = self._total = self._total or self._pair(1.0, now)
        mine = _remembered(self._connections, forwarder, lambda: self._pair(self._share(forwarder), now))
        near = mine
        if address and forwarder not in self.trusted:
            near = _remembered(self._addresses, address.encode(), lambda: self._pair(ADDRESS_SHARE, now))
        floor = _remembered(self._floors, forwarder, lambda: Bucket(FLOOR, 1.0, now))  # a reconnect gains none
        if not (floor.take(1, now) and size <= FLOOR_BYTES):
            for name, (messages, octets) in (("connection", mine), ("address", near), ("total", total)):
                if not (messages.holds(1, now) and octets.holds(size, now)):
                    return self._drop(name)
        for messages, octets in (mine, total) if near is mine else (mine, near, total):
            messages.left -= 1
            octets.left -= size
        return True

    def subscribes(self, peer: bytes, now: float) -> bool:
        """May that peer change its subscriptions? CHANGES a second; they have nothing to do with messages."""
        mine = _remembered(self._changes, peer, lambda: Bucket.full(CHANGES, now))
        if not mine.holds(1, now):
            return self._drop("subscriptions")
        mine.left -= 1
        return True

    def signed(self, origin: bytes, now: float) -> None:
        """That message's signature holds: it is charged to its origin."""
        own = self._own(origin, now)
        own.bucket.left -= 1
        own.over = max(0, own.over - 1)

    def malformed(self) -> None:
        """Not in the form that every implementation writes. Its forwarder may not have looked, and is not punished."""
        self._drop("malformed")

    def forged(self, forwarder: bytes, now: float) -> None:
        self._drop("forged")
        if _again(self._forged, forwarder, FORGED_SECONDS, now) >= MOST_FORGED:
            del self._forged[forwarder]
            self._punish(forwarder, "messages whose signature does not hold", now)

    def budget(self, peer: bytes, now: float) -> GossipBudget:
        """The peer's remaining budget for reading, control, and answers to it."""
        return _remembered(self._budgets, peer, lambda: GossipBudget.full(now))

    def overdone(self, peer: bytes, now: float) -> None:
        """A frame of that peer held more control than its budget. A direct peer loses the excess, no more."""
        self._drop("control")
        if _again(self._overdone, peer, OVERDONE_SECONDS, now) >= MOST_OVERDONE and peer not in self.trusted:
            del self._overdone[peer]
            self._punish(peer, "more control than anybody needs", now)

    def _punish(self, peer: bytes, reason: str, now: float) -> None:
        self._away[peer] = now + AWAY_SECONDS
        _forget_some(self._away)
        self.send_away(peer, reason)

    def _drop(self, reason: str) -> bool:
        self.dropped[reason] += 1
        return False

    def _own(self, origin: bytes, now: float) -> Origin:
        per_second = self.limits.messages_per_peer_per_second * (TRUSTED_TIMES if origin in self.trusted else 1)
        return _remembered(self._origins, origin, lambda: Origin(Bucket.full(per_second, now)))

    def _share(self, forwarder: bytes) -> float:
        return TRUSTED_SHARE if forwarder in self.trusted else SHARE

    def _pair(self, share: float, now: float) -> tuple[Bucket, Bucket]:
        limits = self.limits
        return (
            Bucket.full(limits.messages_per_second * share, now),
            Bucket.full(limits.gossip_bytes_per_second * share, now),
        )


def _remembered(known: OrderedDict[bytes, T], peer: bytes, new: Callable[[], T]) -> T:
    found = known.get(peer)
    if found is None:
        found = known[peer] = new()
        _forget_some(known)
    else:
        known.move_to_end(peer)
    return found


def _again(counts: OrderedDict[bytes, tuple[float, int]], peer: bytes, within: float, now: float) -> int:
    """Counts this event, and returns how often it happened since it first did, unless that was longer ago than
    `within`."""
    since, count = counts.pop(peer, (now, 0))
    counts[peer] = since, count = (since, count + 1) if now - since < within else (now, 1)
    _forget_some(counts)
    return count


def _forget_some(known: OrderedDict[bytes, T]) -> None:
    while len(known) > MOST_PEERS:
        known.popitem(last=False)
