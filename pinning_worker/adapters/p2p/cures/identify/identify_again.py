"""A peer's identity must be known as long as the peer is here, and anew when it comes back.

The fault: two hours after a peer came, its addresses are unknown, and a peer that comes back with other protocols keeps
the old ones in our books: a DHT that has lost its peers, because the line was down, finds none of them again. Why: the
results of identify last two hours, and a peer that was identified once is not asked again, on a new connection neither.
Where: `BasicHost._has_cached_protocols`.

The cure: a peer is identified on each new connection, and by `Host.refresh_identify` when its record has lapsed or was
forgotten.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable

from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError

from pinning_worker.adapters.p2p.cures.once import replace


def mend() -> None:
    replace(BasicHost, "_has_cached_protocols", _if_it_still_holds)


def _if_it_still_holds(_stock: Callable[[BasicHost, ID], bool]) -> Callable[[BasicHost, ID], bool]:
    def mended(self: BasicHost, peer: ID) -> bool:
        if peer not in self._identified_peers:  # it leaves that list with each connection of its that ends
            return False
        try:
            return bool(self.peerstore.addrs(peer) or self.peerstore.get_protocols(peer))
        except PeerStoreError:
            return False

    return mended
