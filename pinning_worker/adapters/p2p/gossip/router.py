"""The gossipsub router as we run it: a hub, with direct peers.

We are a hub for browsers that know nobody else, so every peer that asks into our mesh stays there. Direct peers (other
pinning nodes, named by the operator) get every message of a topic that they subscribe to, whatever the mesh is.

gossipsub 1.1 keeps the two apart ("explicit peering agreements": messages go to a direct peer outside of the mesh, and
its GRAFT is refused), which works only when both sides name each other: a node that names us, and that we do not name,
hears our messages, and we hear its own by gossip at best. So we hand over as agreed, and graft besides: a direct peer
that asks into our mesh gets in, and we ask into its mesh until it refuses, which is how js-libp2p and Kubo answer when
they have named us; then they hand us everything without a mesh. The library's own `direct_peers` refuses GRAFT, yet
sends it, dials any peer that it once heard of, and looks every five minutes: it is left empty.

A stranger's frame costs no more than its size: of a frame's control each topic and each message is looked at once,
within the peer's budget (control.py); a GRAFT that we refused is answered once a heartbeat; a message goes to a peer
that wants it only a few times (bounds/retold.py), and no more at once than the lane to that peer holds. A prune bars no
longer than LONGEST_BACK_OFF, and nothing is recorded for the parts that are off (the library keeps whole messages, and
a time for each, for ever).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

import trio
from libp2p.custom_types import MessageID, TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub import gossipsub
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, PROTOCOL_ID_V12
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.utils import safe_bytes_from_hex

from pinning_worker.adapters.p2p.bounds.flood_guard import FloodGuard
from pinning_worker.adapters.p2p.bounds.gossip_budget import MOST_UNWANTED
from pinning_worker.adapters.p2p.bounds.outgoing_queue import LANES, Lane
from pinning_worker.adapters.p2p.bounds.retold import Retold
from pinning_worker.adapters.p2p.gossip.control import AT_ONCE, FewWords
from pinning_worker.adapters.p2p.gossip.mended import MendedRouter

PROTOCOLS: list[TProtocol] = [PROTOCOL_ID_V12, PROTOCOL_ID_V11, PROTOCOL_ID]
HEARTBEAT_SECONDS = 1
MESH_WE_ASK_FOR = 8
MESH_WE_KEEP = 10_000  # more than max_connections: our mesh never prunes a peer for being too large
FORWARDED_PER_SECOND = 100.0  # for each forwarding peer and topic
MOST_TOLD = 5_000  # ids of messages that we have, to one peer and heartbeat: MaxIHaveLength

T = TypeVar("T")


class Router(MendedRouter):
    """The library's features called adaptive, diverse and scoring are off: they change the mesh by guesses about the
    network."""

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
        self.guard: FloodGuard  # set by `open_pubsub` before a peer speaks
        self._retold = Retold()
        self._refused: set[tuple[ID, str]] = set()  # (peer, topic) of the GRAFTs refused in this heartbeat

    def _get_peers_to_send(
        self, topic_ids: Iterable[str], msg_forwarder: ID, origin: ID, msg_id: bytes | None = None
    ) -> Iterable[ID]:
        topics = list(topic_ids)
        wanted = set(super()._get_peers_to_send(topics, msg_forwarder=msg_forwarder, origin=origin, msg_id=msg_id))
        for topic in topics:
            wanted |= {peer for peer in self._direct_subscribers(topic) if not self._has_it(peer, msg_id)}
        return wanted - {msg_forwarder, origin}

    def mesh_heartbeat(self) -> tuple[defaultdict[ID, list[str]], defaultdict[ID, list[str]]]:
        """The peers to graft and the peers to prune; the library calls it once a second."""
        now = int(cast("Any", gossipsub).time.time())  # the clock by which the library bars
        for topic, barred in self.back_off.items():
            self.back_off[topic] = {peer: until for peer, until in barred.items() if until > now}
        self._refused.clear()
        grafts, prunes = super().mesh_heartbeat()
        for topic, mesh in self.mesh.items():
            for peer in self._direct_subscribers(topic) - mesh:
                if not self._check_back_off(peer, topic):
                    mesh.add(peer)
                    grafts[peer].append(topic)
        return grafts, prunes

    async def handle_rpc(self, rpc: rpc_pb2.RPC, sender_peer_id: ID) -> None:
        """Handles the control of a frame; its messages and subscriptions have been dealt with."""
        peer, now = sender_peer_id.to_bytes(), trio.current_time()
        words = FewWords(self.mesh.keys(), self.guard.budget(peer, now))
        control = await words.read(rpc.control)
        if words.over:
            self.guard.overdone(peer, now)
        await super().handle_rpc(rpc_pb2.RPC(control=control), sender_peer_id)

    async def handle_graft(self, graft_msg: rpc_pb2.ControlGraft, sender_peer_id: ID) -> None:
        """As in gossipsub 1.1, a GRAFT for an unknown topic gets no answer."""
        mesh = self.mesh.get(graft_msg.topicID)
        if mesh is None or sender_peer_id in mesh or (sender_peer_id, graft_msg.topicID) in self._refused:
            return
        if sender_peer_id in self.direct:
            mesh.add(sender_peer_id)
            return
        await super().handle_graft(graft_msg, sender_peer_id)
        if sender_peer_id not in mesh:
            self._refused.add((sender_peer_id, graft_msg.topicID))

    async def handle_prune(self, prune_msg: rpc_pb2.ControlPrune, sender_peer_id: ID) -> None:
        if prune_msg.topicID in self.mesh:
            await super().handle_prune(prune_msg, sender_peer_id)

    async def handle_ihave(self, ihave_msg: rpc_pb2.ControlIHave, sender_peer_id: ID) -> None:
        """Asks for messages that we have not seen, as many as we would take."""
        if ihave_msg.topicID not in self.mesh or self.pubsub is None:
            return
        ids = await _decoded(ihave_msg.messageIDs)
        seen = self.pubsub.seen_messages.cache  # its `has` would make it remember for longer
        unseen = [MessageID(each) for each in ids if each not in seen]
        now = trio.current_time()
        asked = self.guard.budget(sender_peer_id.to_bytes(), now).asked.take(len(unseen), now)
        if asked:
            await self.emit_iwant(unseen[:asked], sender_peer_id)

    async def handle_iwant(self, iwant_msg: rpc_pb2.ControlIWant, sender_peer_id: ID) -> None:
        """Sends the wanted messages, as many as the peer's lane holds: more would push the first ones out."""
        peer, now = sender_peer_id.to_bytes(), trio.current_time()
        budget = self.guard.budget(peer, now).answered
        told, size = rpc_pb2.RPC(), 0
        for each in await _decoded(iwant_msg.messageIDs):
            message = self.mcache.get(each)
            if message is None:
                continue
            more = size + message.ByteSize()
            if not budget.holds(more, now) or (told.publish and more > LANES[Lane.OTHERS].bytes):
                break
            if self._retold.may(peer, each, now):
                told.publish.append(message)
                size = more
        if told.publish:
            budget.owe(size, now)
            self.send_rpc(sender_peer_id, told)

    async def handle_idontwant(self, idontwant_msg: rpc_pb2.ControlIDontWant, sender_peer_id: ID) -> None:
        unwanted = self.dont_send_message_ids.get(sender_peer_id)  # None: we have no stream to it
        if unwanted is not None:
            unwanted.update(idontwant_msg.messageIDs[: max(0, MOST_UNWANTED - len(unwanted))])

    async def _emit_control_msgs(
        self,
        peers_to_graft: dict[ID, list[str]],
        peers_to_prune: dict[ID, list[str]],
        peers_to_gossip: dict[ID, dict[str, list[bytes]]],
    ) -> None:
        """Peer by peer, with a turn for all other tasks in between: each of hundreds may get 5000 ids. Besides, the
        library sends a peer again what it has just sent to the one before."""
        for peer in {*peers_to_graft, *peers_to_prune, *peers_to_gossip}:
            await super()._emit_control_msgs(
                _only(peer, peers_to_graft), _only(peer, peers_to_prune), _only(peer, peers_to_gossip)
            )
            await trio.lowlevel.checkpoint()

    def gossip_heartbeat(self) -> defaultdict[ID, dict[str, list[bytes]]]:
        """The peers to gossip to, each with the ids of our messages."""
        gossip = super().gossip_heartbeat()
        for topics in gossip.values():
            for topic, ids in topics.items():
                topics[topic] = ids[:MOST_TOLD]  # the newest
        return gossip

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        await super().publish(msg_forwarder, pubsub_msg)
        self.recent_message_deliveries.clear()

    async def _do_px(self, px_peers: list[rpc_pb2.PeerInfo]) -> None:
        """Peers that strangers name are dialled by the rules of `dialler.py`, if at all."""

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:
        return True  # the second of two with one number counts as seen, and never gets here

    def _check_spam_protection(self, peer_id: ID, msg: rpc_pb2.Message) -> bool:
        """The flood guard alone bounds the messages that a direct peer hands us for its browsers, before they come
        here."""
        return peer_id in self.direct or super()._check_spam_protection(peer_id, msg)

    def _direct_subscribers(self, topic: str) -> set[ID]:
        """Direct peers that are connected and subscribed."""
        assert self.pubsub is not None
        return {peer for peer in self.direct & self.pubsub.peer_topics.get(topic, set()) if peer in self.peer_protocol}

    def _has_it(self, peer: ID, msg_id: bytes | None) -> bool:
        return msg_id is not None and msg_id in self.dont_send_message_ids.get(peer, ())


def _only(peer: ID, told: dict[ID, T]) -> dict[ID, T]:
    return {peer: told[peer]} if peer in told else {}


async def _decoded(ids: Sequence[bytes]) -> list[bytes]:
    """Some peers write ids in hexadecimal. There may be as many as a budget holds: all other tasks have a turn in
    between."""
    decoded: list[bytes] = []
    for at in range(0, len(ids), AT_ONCE):
        decoded += [each for each in map(safe_bytes_from_hex, ids[at : at + AT_ONCE]) if each is not None]
        await trio.lowlevel.checkpoint()
    return decoded
