"""What is known of peers: keys, addresses, protocols, signed records. The library's store, with other bounds.

The library's own keeps 1000 peers, and of more than that first throws out those without an address. That is ourselves,
whose key it asks the store for whenever somebody comes. It counts when it is told an address, so those who tell none
are not counted.

Here we and the connected peers stay. Of the others the longest known go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import islice

from libp2p.crypto.keys import PublicKey
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore

MOST_PEERS = 1000  # besides the connected
AT_ONCE = 100


class KnownPeers(PeerStore):
    """`connected` is told by whoever has the connections."""

    def __init__(self) -> None:
        super().__init__()
        self.connected: Callable[[], Collection[ID]] = tuple

    def add_pubkey(self, peer_id: ID, pubkey: PublicKey) -> None:
        """With each handshake."""
        super().add_pubkey(peer_id, pubkey)
        self._enforce_peer_limit()

    def _enforce_peer_limit(self) -> None:
        connected = self.connected()
        self.max_peers = MOST_PEERS + len(connected)  # the library looks at it before it calls
        too_many = len(self.peer_data_map) - self.max_peers
        if too_many <= 0:
            return
        for peer in list(islice(self._not_needed(connected), too_many + AT_ONCE)):
            self.clear_peerdata(peer)

    def _not_needed(self, connected: Collection[ID]) -> Iterator[ID]:
        """The longest known first: a dict keeps its order."""
        for peer, known in self.peer_data_map.items():
            if known.privkey is None and peer not in connected:
                yield peer
