"""Gossip: our topics, over gossipsub 1.0 to 1.2, with every message signed and checked (StrictSign).

    async with open_pubsub(host) as pubsub:
        topic = await pubsub.join("/doichain-nfc/1/message/proto")
        topic.publish(b"…")
        async for heard in topic.intake:
            ...

The topic's validator takes in each message, because it alone knows which peer handed it to us; our own echo is dropped.
Reading slowly loses messages (counted), never memory; `bounds/flood_guard.py` limits the messages of one peer. Every
peer that asks into our mesh stays there, our messages go to every subscriber, and the host's direct peers get
everything (`router.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

from pinning_worker.adapters.p2p.bounds.flood_guard import AWAY_SECONDS, FloodGuard, GossipLimits
from pinning_worker.adapters.p2p.bounds.gossip_budget import MOST_MESSAGES
from pinning_worker.adapters.p2p.bounds.intake import Heard
from pinning_worker.adapters.p2p.gossip.control import AT_ONCE
from pinning_worker.adapters.p2p.gossip.intake import Intake
from pinning_worker.adapters.p2p.gossip.mended import MendedPubsub
from pinning_worker.adapters.p2p.gossip.publisher import Publisher
from pinning_worker.adapters.p2p.gossip.router import Router
from pinning_worker.adapters.p2p.gossip.stream import Ears
from pinning_worker.adapters.p2p.host.connections import quietly
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.peer_ids import library_id, peer_id
from pinning_worker.domain.identities import PeerId
from pinning_worker.ungroup import one_error

HANG_UP_SECONDS = 5.0
LONGEST_PEER_ID = 64  # bytes; base58 takes quadratic time
LONGEST_TOPIC = 256
NUMBER_BYTES = 8  # of a message: as go-libp2p and js-libp2p write it; js-libp2p takes no other length
_LIMITS = GossipLimits()

_log = structlog.get_logger(__name__)


class Topic:
    """One topic that we are subscribed to. Made by `PubSub.join` only."""

    def __init__(self, name: str, pubsub: Pubsub, publisher: Publisher[ID], host: Host) -> None:
        self.name = name
        self.intake = Intake()
        self._pubsub = pubsub
        self._publisher = publisher
        self._host = host

    def publish(self, data: bytes) -> bool:
        """Queues a message, to be sent at once or as soon as there is room, in order. False: too large (LARGEST), or no
        room."""
        return self._publisher.put(self.name, data)

    @property
    def unsent(self) -> int:
        """Messages published on any topic and not yet handed to the peers' queues."""
        return self._publisher.unsent

    @property
    def subscribers(self) -> int:
        """Connected peers that are subscribed."""
        return len(self._pubsub.peer_topics.get(self.name, ()))

    def has_subscriber(self, peer: PeerId) -> bool:
        """Is that connected peer subscribed? Takes a peer id."""
        return library_id(peer) in self._pubsub.peer_topics.get(self.name, ())

    @property
    def mesh_peers(self) -> list[PeerId]:
        """Peer ids of the peers that exchange every message with us."""
        router = self._pubsub.router
        assert isinstance(router, Router)
        return [peer_id(peer) for peer in router.mesh.get(self.name, ())]

    def take(self, forwarder: ID, message: rpc_pb2.Message) -> bool:
        """The validator: called once for each new message whose signature holds. True: may be forwarded."""
        if forwarder != self._pubsub.my_id and message.from_id != self._pubsub.my_id.to_bytes():
            origin, connection = peer_id(ID(message.from_id)), peer_id(forwarder)
            self._host.note_use(connection)
            self.intake.put(Heard(origin, connection, message.data, self._host.address_of(connection)))
        return True


class PubSub:
    """All topics of one host. Made by `open_pubsub` only."""

    def __init__(self, raw: _Pubsub, host: Host) -> None:
        self.publisher: Publisher[ID] = Publisher(raw.publish, lambda: raw.peer_queues)
        self._raw = raw
        self._host = host

    @property
    def guard(self) -> FloodGuard:
        return self._raw.guard

    async def drain(self) -> None:
        """Returns once every published message is on its way to every peer that takes it."""
        await self.publisher.drain()

    async def join(self, name: str) -> Topic:
        """Subscribes. Call it once for each topic."""
        topic = Topic(name, self._raw, self.publisher, self._host)
        self._raw.set_topic_validator(name, topic.take, is_async_validator=False)
        await self._raw.subscribe(name)
        return topic


@asynccontextmanager
async def open_pubsub(host: Host, limits: GossipLimits = _LIMITS) -> AsyncIterator[PubSub]:
    """Runs while the block does; inside the host's block."""
    direct = [library_id(peer) for peer in host.direct]
    router = Router(direct)
    raw = _Pubsub(host.raw, router, strict_signing=True)
    pubsub = PubSub(raw, host)

    def send_away(peer: bytes, reason: str) -> None:
        flooder = peer_id(ID(peer))
        _log.warning("gossip.flooder_sent_away", peer=flooder, reason=reason, seconds=AWAY_SECONDS)
        raw.manager.run_task(_hang_up, host, flooder)

    def came(peer: PeerId) -> None:
        if guard.is_away(library_id(peer).to_bytes(), trio.current_time()):
            raw.manager.run_task(_hang_up, host, peer)

    raw.address_of = host.address_of
    guard = raw.guard = router.guard = FloodGuard(limits, send_away, frozenset(peer.to_bytes() for peer in direct))
    raw.ears = Ears(guard, host.address_under)
    host.on_connected.append(came)
    try:
        with one_error():
            async with background_trio_service(router), background_trio_service(raw), trio.open_nursery() as nursery:
                await raw.wait_until_ready()
                nursery.start_soon(pubsub.publisher.run)
                for peer in host.swarm.connections:  # peers that connected before pubsub began
                    raw.manager.run_task(raw._handle_new_peer_with_retry, peer)
                yield pubsub
                nursery.cancel_scope.cancel()
    finally:
        host.on_connected.remove(came)
        raw.seen_messages.stop()


async def _hang_up(host: Host, peer: PeerId) -> None:
    with trio.move_on_after(HANG_UP_SECONDS), suppress(BaseLibp2pError, OSError):
        await host.disconnect(peer)


class _Pubsub(MendedPubsub):
    """Validators take in the messages: the library's queue of 32 per topic would fill, unread. A message that the guard
    refuses is dropped before its signature is checked, which is most of a message's cost."""

    guard: FloodGuard
    address_of: Callable[[PeerId], str]
    ears: Ears

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unverified: set[int] = set()  # messages that are being pushed

    async def continuously_read_stream(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        if not await self.ears.listen(stream, partial(self._take, peer)):
            await quietly(stream.reset)
            self._handle_dead_peer(peer)

    async def _take(self, peer: ID, rpc: rpc_pb2.RPC) -> None:
        """Takes one message after the other, not each in a task of its own: all those tasks would run in one turn of
        the loop. A message whose signature is checked ends the turn; of dropped ones AT_ONCE make one."""
        for number, message in enumerate(rpc.publish[:MOST_MESSAGES], 1):
            if len(message.topicIDs) != 1:
                self.guard.malformed()
            elif message.topicIDs[0] in self.topic_ids:
                await self.push_msg(peer, message)
            if number % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        if len(rpc.subscriptions) <= self.max_subscriptions_per_rpc:
            for subscription in rpc.subscriptions:
                self.handle_subscription(peer, subscription)
        if rpc.HasField("control"):
            await self.router.handle_rpc(rpc, peer)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Takes each message that a peer hands us, or that we publish."""
        if msg_forwarder == self.my_id:
            return await super().push_msg(msg_forwarder, msg)
        if len(msg.seqno) != NUMBER_BYTES:
            return self.guard.malformed()
        if self._is_msg_seen(msg):
            return None
        forwarder, now = msg_forwarder.to_bytes(), trio.current_time()
        if len(msg.from_id) > LONGEST_PEER_ID:
            return self.guard.forged(forwarder, now)
        if not self.guard.admit(msg.from_id, forwarder, msg.ByteSize(), now, self.address_of(peer_id(msg_forwarder))):
            return None
        self._unverified.add(id(msg))
        try:
            await super().push_msg(msg_forwarder, msg)
        finally:
            if id(msg) in self._unverified:
                self._unverified.remove(id(msg))
                self.guard.forged(forwarder, now)
        return await trio.lowlevel.checkpoint()

    def _is_msg_seen(self, msg: rpc_pb2.Message) -> bool:
        """The library's own look extends the memory of a message with every repetition. Here it is forgotten two
        minutes after it first came, as by go-libp2p."""
        return self.get_message_id(msg) in self.seen_messages.cache

    async def validate_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """The library calls it once the signature holds."""
        if id(msg) in self._unverified:
            self._unverified.remove(id(msg))
            self.guard.signed(msg.from_id, trio.current_time())
        await super().validate_msg(msg_forwarder, msg)

    def handle_subscription(self, origin_id: ID, sub_message: rpc_pb2.RPC.SubOpts) -> None:
        """The library limits the number of a peer's topics, not their length, nor how often it subscribes and
        unsubscribes."""
        if len(sub_message.topicid) <= LONGEST_TOPIC and self.guard.subscribes(
            origin_id.to_bytes(), trio.current_time()
        ):
            super().handle_subscription(origin_id, sub_message)

    def notify_subscriptions(self, publish_message: rpc_pb2.Message) -> None: ...
