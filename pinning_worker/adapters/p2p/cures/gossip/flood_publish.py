"""Our own answers go to every subscriber that we are connected to.

What happens: with more browsers around us than a mesh holds, some hear an answer only by gossip, a second or more
later, or never. Why: the library sends a node's own messages to its mesh alone; go and js flood them to all connected
subscribers, as gossipsub 1.1 recommends, and browsers are connected to nobody but us.
Where: `GossipSub._get_peers_to_send`. What we merely forward keeps to the mesh.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub

from pinning_worker.adapters.p2p.cures.once import replace

PeersToSend = Callable[..., Iterable[ID]]


def mend() -> None:
    replace(GossipSub, "_get_peers_to_send", _all_subscribers_for_our_own)


def _all_subscribers_for_our_own(stock: PeersToSend) -> PeersToSend:
    def mended(self: GossipSub, topic_ids: Iterable[str], msg_forwarder: ID, origin: ID, **more: Any) -> Iterable[ID]:
        topics = list(topic_ids)
        peers = set(stock(self, topics, msg_forwarder=msg_forwarder, origin=origin, **more))
        if self.pubsub is not None and msg_forwarder == origin == self.pubsub.my_id:
            for topic in topics:
                peers |= self.pubsub.peer_topics.get(topic, set())
        return peers - {origin}

    return mended
