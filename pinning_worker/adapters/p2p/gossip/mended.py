"""Decisions of py-libp2p's gossip that are wrong for us: one method overrides each. Router and PubSub build on these.

A fault that a method of ours can set right needs no patch of the library; the cures (`cures/gossip`) hold the rest.
Each method says what happens without it, and `tests/adapters/p2p/test_mended_*.py` shows it on these classes and on
those of the library. Upstream: none of them is reported.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable

from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub

WORTH_AN_IDONTWANT = 1024  # bytes of a message


class MendedRouter(GossipSub):
    """Decides to which peers a message goes, and how many of our own may go."""

    def _get_peers_to_send(
        self, topic_ids: Iterable[str], msg_forwarder: ID, origin: ID, msg_id: bytes | None = None
    ) -> Iterable[ID]:
        """Sends our own messages to every subscriber that we are connected to.

        The library sends them to its mesh alone. With more browsers around us than a mesh holds, some then hear an
        answer only by gossip, a second or more later, or never. go and js flood them, as gossipsub 1.1 recommends, and
        browsers are connected to nobody but us. Messages that we merely forward keep to the mesh.
        """
        topics = list(topic_ids)
        peers = set(super()._get_peers_to_send(topics, msg_forwarder=msg_forwarder, origin=origin, msg_id=msg_id))
        if self.pubsub is not None and msg_forwarder == origin == self.pubsub.my_id:
            for topic in topics:
                peers |= self.pubsub.peer_topics.get(topic, set())
        return peers - {origin}

    def gossip_heartbeat(self) -> defaultdict[ID, dict[str, list[bytes]]]:
        """Gossips also to the peers that refused to be in our mesh.

        The library does not ask a peer into its mesh while the peer's back-off runs, which is right, and does not
        gossip to it either, which is not: IHAVE is for peers outside of the mesh. A peer that answers our GRAFT with
        PRUNE would get no message that others publish through us for a minute, and then for the next: js-libp2p answers
        so to every peer that it has named as a direct peer.
        """
        gossip = super().gossip_heartbeat()
        for topic, mesh in self.mesh.items():
            subscribed = self.pubsub.peer_topics.get(topic, set()) if self.pubsub is not None else set()
            barred = {peer for peer in self.back_off.get(topic, ()) if self._is_gossipsub_peer(peer)}
            outside = barred & subscribed - mesh
            if outside and (ids := self.mcache.window(topic)):
                for peer in outside:
                    gossip[peer][topic] = list(ids)
        return gossip

    async def _emit_idontwant_for_message(self, msg_id: bytes, topic_ids: Iterable[str]) -> None:
        """Sends IDONTWANT only for messages of others, of at least 1 KiB.

        The library sends one to every mesh peer with each message that it publishes or forwards, which fills the same
        queue of 32: a burst of 20 answers loses some. With answers of 300 bytes it costs more than the duplicate that
        it may spare. go-libp2p and js-libp2p begin at 1 KiB and 512 bytes, and go never sends it for its own.
        """
        message = self.mcache.get(msg_id)
        if message is None or self.pubsub is None:
            return
        if len(message.data) >= WORTH_AN_IDONTWANT and message.from_id != self.pubsub.my_id.to_bytes():
            await super()._emit_idontwant_for_message(msg_id, topic_ids)

    def _check_spam_protection(self, peer_id: ID, msg: rpc_pb2.Message) -> bool:
        """Does not count our own messages; `publisher.py` paces them.

        The library's limit for each forwarding peer and topic treats us as one of them: of 200 answers in two seconds
        it sends 20, drops the rest without an error, and marks us for bad behaviour.
        """
        is_ours = self.pubsub is not None and peer_id == self.pubsub.my_id
        return is_ours or super()._check_spam_protection(peer_id, msg)


class MendedPubsub(Pubsub):
    """The numbers of our messages follow the clock."""

    def _next_seqno(self) -> bytes:
        """The time in nanoseconds, and more than the number before: 8 bytes on the wire.

        The library begins at the second of its start and counts up by one. A worker that published faster than once a
        second begins in its own past after a restart, and for up to 120 s peers drop its answers, because they have
        seen (sender, number). The clock is read for each message: go-libp2p has an option to remember the highest
        number of each peer and to drop lower ones (`BasicSeqnoValidator`; Kubo does), so a worker that began while its
        clock was behind gets through as soon as its clock is right.
        """
        self.counter = max(self.counter + 1, time.time_ns())
        return self.counter.to_bytes(8, "big")
