"""Limits per second on reading, looking at, asking and answering one peer, on all its gossip streams together.

An *entry* is one GRAFT, PRUNE, IHAVE, IWANT or IDONTWANT; an *id* names a message in one of the last three. Content of
a frame over the budget is not looked at, and the guard counts that frame against the peer (`FloodGuard.overdone`). A
peer that sends more frames or bytes than its budget is read more slowly: its bytes wait with the sender.

The measure is the most that go-libp2p-pubsub and js-libp2p send: in a heartbeat of a second, 5000 ids for each topic
(MaxIHaveLength) in at most 10 IHAVE (MaxIHaveMessages), and an IDONTWANT for every message that they hand on, of which
we take GossipLimits.messages. A bucket holds ten seconds of it (bucket.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from pinning_worker.adapters.p2p.bounds.bucket import Bucket

MIB = 1024 * 1024

FRAMES = 1_000.0
FRAME_BYTES = 4.0 * MIB  # GossipLimits.bytes, the limit of all peers together
ENTRIES = 1_000.0
IDS = 10_000.0  # two topics: requests and answers on one, peers that look for each other on the other
ASKED = 250.0  # messages; one connection's share of GossipLimits.messages: we take all that we ask for
ANSWERED_BYTES = 1.0 * MIB

MOST_MESSAGES = 1_000  # of one frame: as many as one connection may hand over in some seconds
MOST_UNWANTED = 128  # ids of IDONTWANT remembered from one heartbeat to the next
LONGEST_ID = 2 * (64 + 8)  # bytes: a peer id and a number, in hexadecimal, as some write it


@dataclass(slots=True)
class GossipBudget:
    """The budget of one peer."""

    frames: Bucket
    octets: Bucket
    entries: Bucket
    ids: Bucket
    asked: Bucket
    answered: Bucket

    @classmethod
    def full(cls, now: float) -> GossipBudget:
        return cls(*(Bucket.full(each, now) for each in (FRAMES, FRAME_BYTES, ENTRIES, IDS, ASKED, ANSWERED_BYTES)))

    def read(self, size: int, now: float) -> float:
        """A frame of so many bytes was read. Returns the seconds to wait before the next one is."""
        return max(self.frames.owe(1, now), self.octets.owe(size, now))
