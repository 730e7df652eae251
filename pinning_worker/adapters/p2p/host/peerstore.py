"""Records of peers: keys, addresses, protocols, signed records. The library's store, with other bounds.

The library's own keeps 1000 peers, and beyond that first throws out those without an address. That is ourselves, whose
key it reads from the store at each handshake. It counts only when a peer's addresses are added, so peers without any
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
    """`connected` returns the connected peers; the owner of the swarm sets it."""

    def __init__(self) -> None:
        super().__init__()
        self.connected: Callable[[], Collection[ID]] = tuple

    def add_pubkey(self, peer_id: ID, pubkey: PublicKey) -> None:
        """Called with each handshake."""
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
