"""Who refused to be in our mesh is still told what we have.

What happens: a peer that answers our GRAFT with PRUNE hears nothing of what others say through us for a minute, and
then for the next: js-libp2p does so to everybody that it has named as a direct peer. Why: the library does not ask a
peer into its mesh while the peer's back-off runs, which is right, and does not gossip to it either, which is not: IHAVE
is for those outside of the mesh. Where: `GossipSub.gossip_heartbeat`.

Upstream: not reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub

from pinning_worker.adapters.p2p.cures.once import replace

Gossip = defaultdict[ID, dict[str, list[bytes]]]


def mend() -> None:
    replace(GossipSub, "gossip_heartbeat", _also_to_those_in_back_off)


def _also_to_those_in_back_off(stock: Callable[[GossipSub], Gossip]) -> Callable[[GossipSub], Gossip]:
    def mended(self: GossipSub) -> Gossip:
        gossip = stock(self)
        for topic, mesh in self.mesh.items():
            subscribed = self.pubsub.peer_topics.get(topic, set()) if self.pubsub is not None else set()
            outside = {
                peer for peer in self.back_off.get(topic, ()) if self._is_gossipsub_peer(peer)
            } & subscribed - mesh
            if outside and (ids := self.mcache.window(topic)):
                for peer in outside:
                    gossip[peer][topic] = list(ids)
        return gossip

    return mended
