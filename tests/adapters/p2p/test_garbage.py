"""Garbage of strangers, on the port or over a connection: the host lives, and an honest peer is answered."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from tests.adapters.p2p.gossips import TOPIC, Node, meet, open_node

NOISE = random.Random(2026).randbytes
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MULTISTREAM = b"\x13/multistream/1.0.0\n"

ON_THE_PORT = {
    "nothing": b"",
    "two bytes": b"\x13/",
    "noise": NOISE(5000),
    "half an HTTP request": b"GET / HTTP/1.1\r\nHost:",
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an endless HTTP header": b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000,
    "a websocket with noise": UPGRADE + NOISE(5000),
    "a websocket with multistream noise": UPGRADE + b"\x82\x14" + MULTISTREAM + NOISE(500),
    "TLS": b"\x16\x03\x01\x02\x00" + NOISE(600),
    "multistream with noise": MULTISTREAM + NOISE(500),
    "multistream without end": MULTISTREAM + b"\xff\xff\xff\xff\x7f" + NOISE(100),
    "noise handshake with noise": MULTISTREAM + b"\x07/noise\n" + b"\x00\x20" + NOISE(32) + NOISE(300),
}


async def answered(victim: Node) -> None:
    async with open_node() as honest:
        await meet(honest, victim)
        honest.topic.publish(b"are you there?")
        assert (await victim.hears(b"are you there?")).origin == honest.host.peer_id
        victim.topic.publish(b"yes")
        await honest.hears(b"yes")


@pytest.mark.parametrize("garbage", ON_THE_PORT.values(), ids=ON_THE_PORT)
@pytest.mark.parametrize("leaves", [True, False], ids=["and leaves", "and stays"])
async def test_on_the_port(garbage: bytes, leaves: bool) -> None:
    async with open_node() as victim:
        _, _, ip, _, port, *_ = victim.host.addresses[0].split("/")
        async with await trio.open_tcp_stream(ip, int(port)) as stranger:
            with suppress(trio.BrokenResourceError):  # the host may have had enough
                await stranger.send_all(garbage)
                if leaves:
                    await stranger.aclose()
            await answered(victim)


Attack = Callable[[Node, Node], Awaitable[None]]


async def _write(stranger: Node, victim: Node, protocol: str, data: bytes) -> None:
    stream = await stranger.host.raw.new_stream(victim.host.raw.get_id(), [TProtocol(protocol)])
    with suppress(BaseLibp2pError):
        await stream.write(data)
        with trio.move_on_after(1):
            await stream.read(1)


def frames(protocol: str, data: bytes) -> Attack:
    async def attack(stranger: Node, victim: Node) -> None:
        await _write(stranger, victim, protocol, data)

    return attack


async def frames_that_are_no_protocol(stranger: Node, victim: Node) -> None:
    (connection,) = cast("Any", stranger.host.swarm.connections[victim.host.raw.get_id()])
    for data in (NOISE(300), b"\xff" * 300, MULTISTREAM + b"\xff\xff\x7f", MULTISTREAM + b"\x05\xff\xfe\xfd\n"):
        stream = await connection.new_stream()
        with suppress(BaseLibp2pError):
            await stream.write(data)
            with trio.move_on_after(0.5):
                await stream.read(1)


async def noise_instead_of_yamux(stranger: Node, victim: Node) -> None:
    (connection,) = cast("Any", stranger.host.swarm.connections[victim.host.raw.get_id()])
    await connection.muxed_conn.secured_conn.write(NOISE(2000))


async def a_thousand_resets(stranger: Node, victim: Node) -> None:
    (connection,) = cast("Any", stranger.host.swarm.connections[victim.host.raw.get_id()])
    for _ in range(1000):
        with suppress(BaseLibp2pError):
            await (await connection.new_stream()).reset()


async def an_identify_answer_that_is_noise(stranger: Node, victim: Node) -> None:
    async def handler(stream: INetStream) -> None:
        await stream.write(NOISE(700))
        await stream.close()

    stranger.host.raw.set_stream_handler(TProtocol("/ipfs/id/1.0.0"), handler)
    await stranger.host.disconnect(victim.host.peer_id)
    await stranger.host.connect(victim.host.addresses[0], deadline=20)


BAD_KEY = rpc_pb2.Message(
    from_id=b"\x12\x20" + bytes(32), seqno=bytes(8), topicIDs=[TOPIC], signature=b"x", key=b"\xff\xff"
)
NO_ID = rpc_pb2.Message(from_id=b"", seqno=bytes(8), topicIDs=[TOPIC], signature=b"x")
ODD_IDS = rpc_pb2.ControlMessage(
    ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[NOISE(40)] * 500)],
    iwant=[rpc_pb2.ControlIWant(messageIDs=[b"zz", b"", NOISE(1000)])],
    graft=[rpc_pb2.ControlGraft(topicID="nowhere"), rpc_pb2.ControlGraft()],
    prune=[rpc_pb2.ControlPrune(topicID=TOPIC, backoff=2**63, peers=[rpc_pb2.PeerInfo(peerID=b"x")])],
)


def gossip(**fields: Any) -> Attack:
    return frames("/meshsub/1.1.0", encode_varint_prefixed(rpc_pb2.RPC(**fields).SerializeToString()))


OVER_A_CONNECTION: dict[str, Attack] = {
    "meshsub noise": frames("/meshsub/1.1.0", encode_varint_prefixed(NOISE(200))),
    "meshsub without end": frames("/meshsub/1.1.0", b"\xff" * 20),
    "meshsub too large": frames("/meshsub/1.1.0", b"\x80\x80\x80\x08" + bytes(100_000)),
    "a bad pubsub key": gossip(publish=[BAD_KEY]),
    "a message of nobody": gossip(publish=[NO_ID]),
    "a bad sender record": gossip(senderRecord=NOISE(100)),
    "odd control messages": gossip(control=ODD_IDS),
    "5001 subscriptions": gossip(
        subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=str(n)) for n in range(5001)]
    ),
    "identify": frames("/ipfs/id/1.0.0", NOISE(500)),
    "identify push": frames("/ipfs/id/push/1.0.0", NOISE(500)),
    "ping": frames("/ipfs/ping/1.0.0", NOISE(31)),
    "an identify answer": an_identify_answer_that_is_noise,
    "no protocol": frames_that_are_no_protocol,
    "no yamux": noise_instead_of_yamux,
    "a thousand resets": a_thousand_resets,
}


@pytest.mark.parametrize("attack", OVER_A_CONNECTION.values(), ids=OVER_A_CONNECTION)
async def test_over_a_connection(attack: Attack) -> None:
    async with open_node() as victim, open_node("another topic") as stranger:
        await stranger.host.connect(victim.host.addresses[0], deadline=20)
        await attack(stranger, victim)
        await answered(victim)
