"""Who a peer is must be known as long as it is here, and anew when it comes back.

What happens: two hours after a peer came nothing is known of where it is, and who comes back with other protocols is
taken for what it was: a DHT that has lost its peers, because the line was down, finds none of them again. Why: what
identify told lasts two hours, and who was asked once is not asked again, on a new connection neither. Where:
`BasicHost._has_cached_protocols`.

The cure: a peer is asked on each new connection, and by whoever needs to know (`Host.ask_who`) when what it said has
lapsed or was forgotten.

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
