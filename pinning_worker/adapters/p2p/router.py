"""The gossipsub router as we run it: a hub, with direct peers.

We are a hub for browsers that know nobody else, so whoever asks into our mesh is kept there. Direct peers (other
pinning nodes, named by the operator) are handed every message of a topic that they subscribe to, whatever the mesh is.

gossipsub 1.1 keeps the two apart ("explicit peering agreements": messages go to a direct peer outside of the mesh, and
its GRAFT is refused), which works only when both sides name each other: who names us without being named hears our
messages, and we hear its own by gossip at best. So we hand over as agreed, and graft besides: a direct peer that asks
into our mesh is taken, and we ask into its mesh until it refuses, which is how js-libp2p and Kubo answer when they have
named us; then they hand us everything without a mesh. The library's own `direct_peers` refuses GRAFT, yet sends it,
dials whatever it once heard of, and looks every five minutes: it is left empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pb import rpc_pb2

PROTOCOLS: list[TProtocol] = [PROTOCOL_ID_V12, PROTOCOL_ID_V11, PROTOCOL_ID]
HEARTBEAT_SECONDS = 1
MESH_WE_ASK_FOR = 8
MESH_WE_KEEP = 10_000  # more than max_connections: nobody is pruned out of our mesh for there being too many
FORWARDED_PER_SECOND = 100.0  # for each forwarding peer and topic


class Router(GossipSub):
    """What the library calls adaptive, diverse and scoring is off: it changes the mesh by guesses about the network."""

    def __init__(self, direct: Iterable[ID] = ()) -> None:
        super().__init__(
            protocols=PROTOCOLS,
            degree=MESH_WE_ASK_FOR,
            degree_low=MESH_WE_ASK_FOR - 2,
            degree_high=MESH_WE_KEEP,
            heartbeat_interval=HEARTBEAT_SECONDS,
            max_messages_per_topic_per_second=FORWARDED_PER_SECOND,
            adaptive_gossip_enabled=False,
            eclipse_protection_enabled=False,
            max_pending_messages_per_peer=64,
        )
        self.scorer = None
        self.direct = frozenset(direct)

    def _get_peers_to_send(
        self, topic_ids: Iterable[str], msg_forwarder: ID, origin: ID, msg_id: bytes | None = None
    ) -> Iterable[ID]:
        topics = list(topic_ids)
        wanted = set(super()._get_peers_to_send(topics, msg_forwarder=msg_forwarder, origin=origin, msg_id=msg_id))
        for topic in topics:
            wanted |= {peer for peer in self._direct_subscribers(topic) if not self._has_it(peer, msg_id)}
        return wanted - {msg_forwarder, origin}

    def mesh_heartbeat(self) -> tuple[defaultdict[ID, list[str]], defaultdict[ID, list[str]]]:
        """Whom to graft and whom to prune; the library calls it once a second."""
        grafts, prunes = super().mesh_heartbeat()
        for topic, mesh in self.mesh.items():
            for peer in self._direct_subscribers(topic) - mesh:
                if not self._check_back_off(peer, topic):
                    mesh.add(peer)
                    grafts[peer].append(topic)
        return grafts, prunes

    async def handle_graft(self, graft_msg: rpc_pb2.ControlGraft, sender_peer_id: ID) -> None:
        if sender_peer_id in self.direct and graft_msg.topicID in self.mesh:
            self.mesh[graft_msg.topicID].add(sender_peer_id)
            return
        await super().handle_graft(graft_msg, sender_peer_id)

    def _check_spam_protection(self, peer_id: ID, msg: rpc_pb2.Message) -> bool:
        """What a direct peer hands us for our browsers is bounded by the flood guard alone, before it comes here."""
        return peer_id in self.direct or super()._check_spam_protection(peer_id, msg)

    def _direct_subscribers(self, topic: str) -> set[ID]:
        """Direct peers that are connected and subscribed."""
        assert self.pubsub is not None
        return {peer for peer in self.direct & self.pubsub.peer_topics.get(topic, set()) if peer in self.peer_protocol}

    def _has_it(self, peer: ID, msg_id: bytes | None) -> bool:
        return msg_id is not None and msg_id in self.dont_send_message_ids.get(peer, ())
