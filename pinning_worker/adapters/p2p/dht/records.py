"""Provider records that a server keeps for other peers, for KEEP_SECONDS each.

Anybody may send any number of them. So a key has at most CLOSEST providers, a peer at most MOST_OF_ONE records, all
together MOST: when that is reached, the oldest goes. Of a peer's own addresses we keep only a few, as it sent them.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from pinning_worker.adapters.p2p.dht.contacts import CLOSEST, Contact
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId

KEEP_SECONDS = 48 * 3600.0  # as everywhere in this network
MOST = 10_000  # 40 MB, with the longest keys and addresses allowed
MOST_OF_ONE = 1_000

_Entry = tuple[Multihash, PeerId]


class Records:
    """Times are seconds of a clock that does not run backwards."""

    def __init__(self) -> None:
        self._by_age: OrderedDict[_Entry, tuple[float, Contact]] = OrderedDict()
        self._of_key: dict[Multihash, set[PeerId]] = {}
        self._of_peer: Counter[PeerId] = Counter()

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, key: Multihash, provider: Contact, now: float) -> bool:
        """False: this key, or this peer, has as many as it may have."""
        self._forget_old(now)
        entry = (key, provider.peer)
        if entry not in self._by_age:
            if len(self._of_key.get(key, ())) >= CLOSEST or self._of_peer[provider.peer] >= MOST_OF_ONE:
                return False
            self._of_key.setdefault(key, set()).add(provider.peer)
            self._of_peer[provider.peer] += 1
        self._by_age[entry] = (now, provider)
        self._by_age.move_to_end(entry)
        while len(self._by_age) > MOST:
            self._forget(next(iter(self._by_age)))
        return True

    def of(self, key: Multihash, now: float) -> list[Contact]:
        self._forget_old(now)
        return [self._by_age[key, peer][1] for peer in self._of_key.get(key, ())]

    def _forget_old(self, now: float) -> None:
        while self._by_age:
            entry, (since, _) = next(iter(self._by_age.items()))
            if now - since < KEEP_SECONDS:
                return
            self._forget(entry)

    def _forget(self, entry: _Entry) -> None:
        key, peer = entry
        del self._by_age[entry]
        self._of_key[key].discard(peer)
        if not self._of_key[key]:
            del self._of_key[key]
        self._of_peer[peer] -= 1
        if not self._of_peer[peer]:
            del self._of_peer[peer]
