"""The crash cure: what a stranger sends, or a handler of ours raises, ends that stream or message, and no more."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V12
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.cures.process import crash
from tests.adapters.p2p.cure_rig import Ear, Scenario, bare_host, bare_pubsub, connect, know_each_other, outcome, play

TOPIC = "t"
FINE = "alive, and heard an honest peer"
Attack = Callable[[BasicHost, BasicHost, Pubsub], Awaitable[None]]


async def survive(attack: Attack) -> str:
    async with (
        bare_host() as victim,
        bare_host() as honest,
        bare_host() as stranger,
        bare_pubsub(victim) as gossip,
        bare_pubsub(honest) as honest_gossip,
        trio.open_nursery() as nursery,
    ):
        ear = Ear()
        nursery.start_soon(ear.listen, await gossip.subscribe(TOPIC))
        await honest_gossip.subscribe(TOPIC)
        await connect(stranger, victim)
        await attack(stranger, victim, gossip)
        await connect(honest, victim)
        await know_each_other(TOPIC, gossip, honest_gossip)
        await honest_gossip.publish(TOPIC, b"hello")
        heard = await ear.hears(b"hello")
        nursery.cancel_scope.cancel()
    return FINE if heard else "alive, but deaf"


async def say(stranger: BasicHost, victim: BasicHost, frame: bytes) -> None:
    """One pubsub frame; returns when the victim has dealt with it: it resets the stream, or has answered a ping."""
    stream = await stranger.new_stream(victim.get_id(), [PROTOCOL_ID_V12])
    await stream.write(encode_varint_prefixed(frame))
    ping = await stranger.new_stream(victim.get_id(), [TProtocol("/ipfs/ping/1.0.0")])
    await ping.write(bytes(32))
    await ping.read(32)


async def random_bytes() -> str:
    async def attack(stranger: BasicHost, victim: BasicHost, _: Pubsub) -> None:
        await say(stranger, victim, random.Random(7).randbytes(200))

    return await survive(attack)


async def bad_key() -> str:
    async def attack(stranger: BasicHost, victim: BasicHost, _: Pubsub) -> None:
        nobody = b"\x12\x20" + bytes(32)  # a peer id that holds no key, so that `key` is looked at
        message = rpc_pb2.Message(from_id=nobody, seqno=b"1", topicIDs=[TOPIC], signature=b"x", key=b"\xff\xff")
        await say(stranger, victim, rpc_pb2.RPC(publish=[message]).SerializeToString())

    return await survive(attack)


async def raising_handler() -> str:
    async def attack(stranger: BasicHost, victim: BasicHost, _: Pubsub) -> None:
        async def handler(stream: Any) -> None:
            await stream.read(1)
            raise ValueError("a handler of ours")

        victim.set_stream_handler(TProtocol("/raises/1"), handler)
        stream = await stranger.new_stream(victim.get_id(), [TProtocol("/raises/1")])
        await stream.write(b"!")
        with suppress(StreamError):  # on the mended library we see our stream reset
            await stream.read(1)

    return await survive(attack)


async def raising_validator() -> str:
    async def attack(stranger: BasicHost, victim: BasicHost, gossip: Pubsub) -> None:
        raised = trio.Event()

        def validator(forwarder: ID, message: rpc_pb2.Message) -> bool:
            if not raised.is_set():
                raised.set()
                raise RuntimeError("a validator of ours")
            return True

        gossip.set_topic_validator(TOPIC, validator, is_async_validator=False)
        async with bare_host() as other, bare_pubsub(other) as other_gossip:
            await other_gossip.subscribe(TOPIC)
            await connect(other, victim)
            await know_each_other(TOPIC, gossip, other_gossip)
            await other_gossip.publish(TOPIC, b"raise, please")
            await raised.wait()

    return await survive(attack)


async def counted() -> str:
    """Cancellation passes through; what was caught is counted by place."""
    await random_bytes()
    with trio.move_on_after(0.05) as scope:
        async with bare_host() as host, bare_pubsub(host):
            await trio.sleep_forever()
    return f"{sorted(crash.caught().items())} cancelled={scope.cancelled_caught}"


SCENARIOS = {
    random_bytes: "DecodeError",
    bad_key: "DecodeError",
    raising_handler: "ValueError('a handler of ours')",
    raising_validator: "RuntimeError('a validator of ours')",
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_host_survives(scenario: Scenario) -> None:
    assert outcome(scenario, stock=False) == FINE


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_stock_library_does_not(scenario: Scenario) -> None:
    said = outcome(scenario, stock=True)
    assert said.startswith("died")
    assert SCENARIOS[scenario] in said


def test_what_was_caught_is_counted_and_cancellation_is_not_caught() -> None:
    said = outcome(counted, stock=False)
    assert "SwarmConn._handle_muxed_stream', 'DecodeError'), 1" in said
    assert said.endswith("cancelled=True")


if __name__ == "__main__":
    play(globals(), crash)
