"""Misbehaviour of peers, and how much of it we bear: penalty points that fade, and a ban at the limit.

Points are for acts that no honest peer ever commits. Acts that happen to honest peers now and then cost nothing: a
block that we wanted a moment ago, a want too many, a stream that dies. The streams of a banned peer are reset unread,
and we ask it for nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum

from pinning_worker.domain.identities import PeerId

BAN_AT = 100.0
FADES_PER_SECOND = 0.2
BAN_SECONDS = 600.0
MOST_PEERS = 4096  # remembered; the one longest without a fault is forgotten first


class Fault(IntEnum):
    """The kind of fault; its value is its points."""

    FLOOD = 1  # more wants than a ledger holds, or a message that says nothing
    UNASKED_BLOCK = 2
    BAD_MESSAGE = 30  # or a frame that is none


@dataclass(slots=True)
class _Record:
    points: float = 0.0
    at: float = 0.0
    banned_until: float = 0.0


class Conduct:
    """Times are seconds of any clock that does not run backwards."""

    def __init__(self) -> None:
        self.faults: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self._records: OrderedDict[PeerId, _Record] = OrderedDict()

    def blame(self, peer: PeerId, fault: Fault, now: float) -> bool:
        """Counts a fault. True if the peer is banned from now on, and was not before."""
        self.faults[fault] += 1
        record = self._records.setdefault(peer, _Record(at=now))
        self._records.move_to_end(peer)
        if len(self._records) > MOST_PEERS:
            self._records.popitem(last=False)
        record.points = max(0.0, record.points - (now - record.at) * FADES_PER_SECOND) + fault
        record.at = now
        if record.points < BAN_AT or now < record.banned_until:
            return False
        record.points, record.banned_until = 0.0, now + BAN_SECONDS
        return True

    def banned(self, peer: PeerId, now: float) -> bool:
        record = self._records.get(peer)
        return record is not None and now < record.banned_until
