"""Topics between hosts of ours: who said it, who handed it on, and what is never taken in."""

from __future__ import annotations

import time

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.gossip.publisher import LARGEST
from pinning_worker.adapters.p2p.gossip.router import PROTOCOLS
from tests.adapters.p2p.gossips import TOPIC, Node, meet, open_node


async def test_origin_and_forwarder_are_told_apart() -> None:
    async with open_node() as a, open_node() as middle, open_node() as b:
        await meet(a, middle)
        await meet(b, middle)
        a.topic.publish(b"hello")
        heard = await b.hears(b"hello")
        assert (heard.origin, heard.forwarder) == (a.host.peer_id, middle.host.peer_id)
        assert (await middle.hears(b"hello")).forwarder == a.host.peer_id


async def test_we_do_not_hear_ourselves() -> None:
    async with open_node() as a, open_node() as b:
        await meet(a, b)
        a.topic.publish(b"mine")
        await b.hears(b"mine")
        b.topic.publish(b"yours")
        assert (await a.topic.intake.get()).data == b"yours"  # nothing came before it


async def send(stranger: Node, victim: Node, *messages: rpc_pb2.Message) -> None:
    stream = await stranger.host.raw.new_stream(victim.host.raw.get_id(), PROTOCOLS)
    await stream.write(encode_varint_prefixed(rpc_pb2.RPC(publish=messages).SerializeToString()))


async def test_a_message_that_its_origin_did_not_sign_is_not_taken_in() -> None:
    async with open_node() as a, open_node() as victim, open_node("another topic") as stranger:
        await meet(a, victim)
        await stranger.host.connect(victim.host.addresses[0], deadline=20)
        origin = a.host.raw.get_id().to_bytes()
        number = time.time_ns().to_bytes(8, "big")
        signed_by_stranger = rpc_pb2.Message(from_id=origin, seqno=number, data=b"forged", topicIDs=[TOPIC])
        signed_by_stranger.signature = stranger.host.raw.get_private_key().sign(
            b"libp2p-pubsub:" + signed_by_stranger.SerializeToString()
        )
        unsigned = rpc_pb2.Message(from_id=origin, seqno=number[:-1] + b"\x01", data=b"forged", topicIDs=[TOPIC])
        await send(stranger, victim, signed_by_stranger, unsigned)
        a.topic.publish(b"honest")
        assert (await victim.topic.intake.get()).data == b"honest"


async def test_two_hundred_answers_reach_a_peer_of_ours() -> None:
    async with open_node() as a, open_node() as b:
        await meet(a, b)
        answers = [f"{n} {'x' * 300}".encode() for n in range(200)]
        for answer in answers:
            assert a.topic.publish(answer)
        with trio.fail_after(30):
            assert [(await b.topic.intake.get()).data for _ in answers] == answers


async def test_the_largest_message_arrives() -> None:
    async with open_node() as a, open_node() as b:
        await meet(a, b)
        largest = bytes(LARGEST)
        assert a.topic.publish(largest)
        await b.hears(largest)


async def test_a_topic_can_be_left_by_closing_and_joined_again_on_the_same_host() -> None:
    """Subscribers are counted, and forgotten when they are gone."""
    async with open_node() as a:
        for _ in range(2):
            async with open_node() as b:
                await meet(b, a)
                assert a.topic.subscribers == 1
            with trio.fail_after(20):
                while a.topic.subscribers:  # noqa: ASYNC110  the host's bell may ring before pubsub has heard of it
                    await trio.sleep(0.01)


async def test_a_validator_that_raises_loses_that_message_only() -> None:
    """Nothing that a peer can send makes ours raise; so one of the test's stands before it."""
    async with open_node() as victim, open_node() as honest, open_node() as attacker:
        raised = 0

        def validate(forwarder: ID, message: rpc_pb2.Message) -> bool:
            nonlocal raised
            if message.data.startswith(b"raise"):
                raised += 1
                raise ZeroDivisionError("a validator of ours")
            return victim.topic.take(forwarder, message)

        victim.pubsub._raw.set_topic_validator(TOPIC, validate, is_async_validator=False)
        await meet(honest, victim)
        await meet(attacker, victim)
        for number in range(10):
            attacker.topic.publish(b"raise %d" % number)
            honest.topic.publish(b"hello %d" % number)
            await victim.hears(b"hello %d" % number)
        with trio.fail_after(20):
            while raised < 10:  # noqa: ASYNC110  the validator tells nobody
                await trio.sleep(0.01)
        victim.topic.publish(b"still here")
        await honest.hears(b"still here")
