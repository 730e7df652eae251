"""The routing table: peers that answered us, many near ourselves and a few everywhere else.

Kademlia's rule: for each length of the prefix that a peer's place shares with ours there is a bucket of CLOSEST. A new
peer never pushes out a known one that answers; otherwise an attacker that makes up peer ids would soon fill the table.
The code that asked a peer in vain removes it.
"""

from __future__ import annotations

import heapq

from pinning_worker.adapters.p2p.dht.contacts import CLOSEST, Contact, place_of
from pinning_worker.domain.identities import PeerId

_BITS = 256


class Table:
    def __init__(self, ourselves: Contact) -> None:
        self._place = ourselves.place
        self._peer = ourselves.peer
        self._buckets: dict[int, dict[PeerId, tuple[int, Contact]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, contact: Contact) -> bool:
        """Takes a peer in, or its new addresses. False: no room, or ourselves."""
        if contact.peer == self._peer:
            return False
        place = contact.place
        bucket = self._buckets.setdefault(_BITS - (place ^ self._place).bit_length(), {})
        if contact.peer not in bucket and len(bucket) >= CLOSEST:
            return False
        bucket[contact.peer] = (place, contact)
        return True

    def remove(self, peer: PeerId) -> None:
        for bucket in self._buckets.values():
            bucket.pop(peer, None)

    def closest(self, key: bytes, count: int = CLOSEST) -> list[Contact]:
        wanted = place_of(key)
        everybody = (entry for bucket in self._buckets.values() for entry in bucket.values())
        return [contact for _, contact in heapq.nsmallest(count, everybody, key=lambda entry: entry[0] ^ wanted)]
