"""The memory and work that a stranger's gossip costs us: no more than sending it costs the stranger."""

from __future__ import annotations

from functools import partial

import trio
from libp2p.peer.envelope import seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord
from libp2p.pubsub.pb import rpc_pb2
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.bounds.bucket import BURST_SECONDS
from pinning_worker.adapters.p2p.bounds.flood_guard import SHARE, GossipLimits
from pinning_worker.adapters.p2p.gossip.control import LONGEST_BACK_OFF_SECONDS
from pinning_worker.adapters.p2p.host.identity import new_key
from tests.adapters.p2p.gossips import TOPIC
from tests.adapters.p2p.stranger import open_stranger

MADE_UP = [f"made up {number}" for number in range(2_000)]
LONG = 900_000


async def test_nobody_is_dialled_because_a_stranger_who_prunes_us_names_them() -> None:
    knocked = trio.Event()

    async def somebodys_door(_stream: trio.SocketStream) -> None:
        knocked.set()

    async with open_stranger() as (stranger, _, _), trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), somebodys_door, 0)
        address = Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}")
        key = new_key()
        somebody = ID.from_pubkey(key.public_key)
        record = seal_record(PeerRecord(somebody, [address]), key.private_key)
        named = rpc_pb2.PeerInfo(peerID=somebody.to_bytes(), signedPeerRecord=record.marshal_envelope())
        await stranger.control(prune=[rpc_pb2.ControlPrune(topicID=TOPIC, peers=[named])])
        await stranger.heard_out()
        assert not knocked.is_set()
        nursery.cancel_scope.cancel()


async def test_control_messages_about_made_up_topics_leave_nothing_behind() -> None:
    async with open_stranger() as (stranger, _, router):
        await stranger.control(
            prune=[rpc_pb2.ControlPrune(topicID=topic) for topic in MADE_UP],
            graft=[rpc_pb2.ControlGraft(topicID=topic) for topic in MADE_UP],
            ihave=[rpc_pb2.ControlIHave(topicID=topic, messageIDs=[b"id"]) for topic in MADE_UP],
        )
        await stranger.heard_out()
        assert router.back_off.keys() <= {TOPIC}
        assert all(topics.keys() <= {TOPIC} for topics in router.graft_flood_tracking.values())
        assert all(topics.keys() <= {TOPIC} for topics in router.ihave_message_limits.values())


async def test_a_prune_bars_for_a_while_and_is_then_forgotten() -> None:
    async with open_stranger() as (stranger, _, router):
        peer = stranger.node.host.raw.get_id()
        await stranger.control(prune=[rpc_pb2.ControlPrune(topicID=TOPIC, backoff=2**63)])
        await stranger.heard_out()
        assert router._check_back_off(peer, TOPIC)
        router.back_off[TOPIC][peer] -= LONGEST_BACK_OFF_SECONDS
        with trio.fail_after(20):
            while router.back_off[TOPIC]:  # noqa: ASYNC110  the next heartbeat does it
                await trio.sleep(0.01)


async def test_a_message_of_another_form_is_dropped_however_well_it_is_signed() -> None:
    """Its number would be kept for minutes, its topics for good."""
    async with open_stranger() as (stranger, victim, router):
        for number, topics in ((bytes(LONG), [TOPIC]), (b"", [TOPIC]), (bytes(8), [TOPIC, *MADE_UP])):
            await stranger.say(publish=[stranger.signed(b"odd", number, *topics)])
        await stranger.heard_out()
        assert victim.pubsub.guard.dropped["malformed"] == 3
        assert router.time_since_last_publish.keys() <= {TOPIC}
        assert not victim.pubsub.guard._forged, "who forwards it is not punished"


async def test_all_bytes_of_a_message_are_charged_not_its_data_only() -> None:
    async with open_stranger() as (stranger, victim, _):
        victim.pubsub.guard.limits = GossipLimits(gossip_bytes_per_second=LONG / SHARE / BURST_SECONDS)
        message = stranger.signed(b"little", bytes(8), TOPIC)
        message.key = bytes(LONG)
        await stranger.say(publish=[message])
        await stranger.heard_out()
        assert victim.pubsub.guard.dropped["connection"] == 1


async def test_a_topic_of_a_megabyte_is_not_remembered() -> None:
    async with open_stranger() as (stranger, victim, _):
        topics = ["x" * LONG, "short"]
        await stranger.say(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic) for topic in topics])
        await stranger.heard_out()
        assert victim.pubsub._raw.peer_topics.keys() == {TOPIC, "short"}


async def test_coming_and_going_is_followed_so_often_only() -> None:
    async with open_stranger() as (stranger, victim, _):
        changes = [rpc_pb2.RPC.SubOpts(subscribe=number % 2 == 0, topicid="fickle") for number in range(900)]
        await stranger.say(subscriptions=changes)
        await stranger.heard_out()
        assert victim.pubsub.guard.dropped["subscriptions"] > 700


async def test_saying_it_again_does_not_make_us_remember_a_message_for_longer() -> None:
    """Or the ids of millions would be kept by who repeats them, and they come cheaper than new ones."""
    async with open_stranger() as (stranger, victim, _):
        message = stranger.signed(b"hello", bytes(8), TOPIC)
        number = message.from_id + message.seqno
        await stranger.say(publish=[message])
        await victim.hears(b"hello")
        seen = victim.pubsub._raw.seen_messages.cache
        seen[number] = until = seen[number] - 60
        await stranger.say(publish=[message] * 3)
        await stranger.control(ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[number])])
        await stranger.heard_out()
        assert seen[number] == until


async def test_nothing_is_kept_for_what_is_off() -> None:
    """The library keeps 500 whole messages and the time of every one, to judge peers by."""
    async with open_stranger() as (stranger, _, router):
        await stranger.heard_out()
        assert not router.equivocation_detection
        assert not router.recent_message_deliveries
