"""The gossipsub router as we run it: a hub, with direct peers.

We are a hub for browsers that know nobody else, so whoever asks into our mesh is kept there. Direct peers (other
pinning nodes, named by the operator) are handed every message of a topic that they subscribe to, whatever the mesh is.

gossipsub 1.1 keeps the two apart ("explicit peering agreements": messages go to a direct peer outside of the mesh, and
its GRAFT is refused), which works only when both sides name each other: who names us without being named hears our
messages, and we hear its own by gossip at best. So we hand over as agreed, and graft besides: a direct peer that asks
into our mesh is taken, and we ask into its mesh until it refuses, which is how js-libp2p and Kubo answer when they have
named us; then they hand us everything without a mesh. The library's own `direct_peers` refuses GRAFT, yet sends it,
dials whatever it once heard of, and looks every five minutes: it is left empty.

What a stranger says costs no more than the saying: control messages are read for the topics that we are on, a prune
bars no longer than LONGEST_BACK_OFF, nobody is dialled because somebody who prunes us names them, and nothing is
recorded for the parts that are off (the library keeps whole messages, and a time for each, for ever).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pb import rpc_pb2

from pinning_worker.adapters.p2p.cures import steady_clock

PROTOCOLS: list[TProtocol] = [PROTOCOL_ID_V12, PROTOCOL_ID_V11, PROTOCOL_ID]
HEARTBEAT_SECONDS = 1
MESH_WE_ASK_FOR = 8
MESH_WE_KEEP = 10_000  # more than max_connections: nobody is pruned out of our mesh for there being too many
FORWARDED_PER_SECOND = 100.0  # for each forwarding peer and topic
LONGEST_BACK_OFF = 3600  # seconds; others say 60


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
        now = int(steady_clock.now())
        for topic, barred in self.back_off.items():
            self.back_off[topic] = {peer: until for peer, until in barred.items() if until > now}
        grafts, prunes = super().mesh_heartbeat()
        for topic, mesh in self.mesh.items():
            for peer in self._direct_subscribers(topic) - mesh:
                if not self._check_back_off(peer, topic):
                    mesh.add(peer)
                    grafts[peer].append(topic)
        return grafts, prunes

    async def handle_graft(self, graft_msg: rpc_pb2.ControlGraft, sender_peer_id: ID) -> None:
        if graft_msg.topicID not in self.mesh:
            return  # as gossipsub 1.1 has it: no answer for a topic of which we know nothing
        if sender_peer_id in self.direct:
            self.mesh[graft_msg.topicID].add(sender_peer_id)
            return
        await super().handle_graft(graft_msg, sender_peer_id)

    async def handle_prune(self, prune_msg: rpc_pb2.ControlPrune, sender_peer_id: ID) -> None:
        if prune_msg.topicID in self.mesh:
            prune_msg.backoff = min(prune_msg.backoff, LONGEST_BACK_OFF)
            await super().handle_prune(prune_msg, sender_peer_id)

    async def handle_ihave(self, ihave_msg: rpc_pb2.ControlIHave, sender_peer_id: ID) -> None:
        if ihave_msg.topicID in self.mesh:
            await super().handle_ihave(ihave_msg, sender_peer_id)

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        await super().publish(msg_forwarder, pubsub_msg)
        self.recent_message_deliveries.clear()

    async def _do_px(self, px_peers: list[rpc_pb2.PeerInfo]) -> None:
        """Whom strangers name is dialled by the rules of `dialler.py`, if at all."""

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:
        return True  # the second of two with one number was seen before, and came not so far

    def _check_spam_protection(self, peer_id: ID, msg: rpc_pb2.Message) -> bool:
        """What a direct peer hands us for our browsers is bounded by the flood guard alone, before it comes here."""
        return peer_id in self.direct or super()._check_spam_protection(peer_id, msg)

    def _direct_subscribers(self, topic: str) -> set[ID]:
        """Direct peers that are connected and subscribed."""
        assert self.pubsub is not None
        return {peer for peer in self.direct & self.pubsub.peer_topics.get(topic, set()) if peer in self.peer_protocol}

    def _has_it(self, peer: ID, msg_id: bytes | None) -> bool:
        return msg_id is not None and msg_id in self.dont_send_message_ids.get(peer, ())
