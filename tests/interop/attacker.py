"""A hostile peer, as a process: `python -m tests.interop.attacker ATTACK WORKER_ADDRESS SOURCE_IP [SWARM_KEY]`.

It dials from SOURCE_IP (any of 127.0.0.0/8), so that limits by address apply to it and not to who attacks nobody. It
does what it can within SECONDS and prints one line of JSON: how much was sent, and whether it was hung up on.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.bitswap import wire
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.peer_ids import peer_id
from pinning_worker.domain.content.cid import RAW, CidBytes, cid_of, encode_varint, parse_cid
from tests.adapters.p2p.dialling_from import dialling_from
from tests.interop.helia import CONTENT_TOPIC
from tests.interop.hostile_relay import HostileRelays
from tests.interop.malformed import Thrower

SECONDS = 40.0
SECONDS_FOR = {
    "relaying": 100.0,  # for a busy machine; these are done long before
    "crowding": 100.0,
    "malformed": 150.0,
    "unfinished": 10.0,  # it would wait for ever
}
MESHSUB, BITSWAP = "/meshsub/1.1.0", "/ipfs/bitswap/1.2.0"
MIB = 1024 * 1024
FLOOD, LARGE, FORGED, RESETS, POURED = 50_000, 300, 5_000, 5_000, 400 * MIB
NOISE = random.Random(5).randbytes
GONE = (BaseLibp2pError, CannotConnect, OSError, trio.BrokenResourceError, trio.ClosedResourceError)
BATCH = 50  # messages in a frame of the flood


class Attacker:
    """Connected to the worker; `sent` counts what it handed over."""

    def __init__(self, host: Host, worker: str, swarm_key: bytes | None) -> None:
        self.host = host
        self.swarm_key = swarm_key
        self.address = worker
        self.worker = ID.from_base58(worker.rpartition("/")[2])
        self.sent = 0
        self.cids: list[str] = []
        self.more: dict[str, int] = {}

    async def stream(self, protocol: str) -> INetStream:
        return await self.host.raw.new_stream(self.worker, [TProtocol(protocol)])

    async def gossip(self, messages: AsyncIterator[rpc_pb2.Message], batch: int = 1) -> None:
        """Many messages down one stream, until all are sent or the worker has had enough."""
        stream = await self.stream(MESHSUB)
        subscription = rpc_pb2.RPC.SubOpts(subscribe=True, topicid=CONTENT_TOPIC)
        await stream.write(frame(rpc_pb2.RPC(subscriptions=[subscription])))
        waiting: list[rpc_pb2.Message] = []
        async for message in messages:
            waiting.append(message)
            if len(waiting) >= batch:
                await stream.write(frame(rpc_pb2.RPC(publish=waiting)))
                self.sent += len(waiting)
                waiting.clear()


def frame(rpc: rpc_pb2.RPC) -> bytes:
    return encode_varint_prefixed(rpc.SerializeToString())


def signed(key: KeyPair, number: int, data: bytes) -> rpc_pb2.Message:
    """A valid message of that key's owner."""
    message = rpc_pb2.Message(
        from_id=ID.from_pubkey(key.public_key).to_bytes(),
        seqno=number.to_bytes(8, "big"),
        data=data,
        topicIDs=[CONTENT_TOPIC],
    )
    message.signature = key.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
    return message


async def flood(attacker: Attacker) -> None:
    """NEW-CIDs of its own, as fast as they go."""
    key = attacker.host.raw.get_private_key()
    pair = KeyPair(key, key.get_public_key())

    async def messages() -> AsyncIterator[rpc_pb2.Message]:
        for number in range(FLOOD):
            yield signed(pair, number, b"NEW-CID:bafkqaaa%d" % number)

    await attacker.gossip(messages(), BATCH)


async def large(attacker: Attacker) -> None:
    """Nearly 1 MiB each, every one validly signed by another made-up origin; then one that is over the limit."""

    async def messages() -> AsyncIterator[rpc_pb2.Message]:
        data = NOISE(MIB - 2_000)
        for number in range(LARGE):
            yield signed(new_key(), number, data)
        yield signed(new_key(), 0, NOISE(MIB * 2))

    await attacker.gossip(messages())


async def forged(attacker: Attacker) -> None:
    """In the names of others."""

    async def messages() -> AsyncIterator[rpc_pb2.Message]:
        for number in range(FORGED):
            message = signed(new_key(), number, b"NEW-CID:bafkqaaa")
            message.signature = NOISE(64)
            yield message

    await attacker.gossip(messages())


async def malformed(attacker: Attacker) -> None:
    """Frames that are wrong in every way, from many peers."""
    thrower = Thrower(attacker.address, attacker.swarm_key)
    try:
        await thrower.all_protocols()
    finally:
        attacker.sent = thrower.thrown
        attacker.more = {"left": thrower.left, "missed": len(thrower.missed)}


async def relaying(attacker: Attacker) -> None:
    """As relays of the worker's, which give it odd places and bring it garbage."""
    await _as_relays(attacker, HostileRelays.malformed)


async def crowding(attacker: Attacker) -> None:
    """As relays of the worker's, which bring it crowds that say nothing."""
    await _as_relays(attacker, HostileRelays.silent)


async def _as_relays(attacker: Attacker, what: Callable[[HostileRelays], Awaitable[None]]) -> None:
    relays = HostileRelays(attacker.address)
    try:
        await what(relays)
    finally:
        attacker.sent = relays.thrown
        attacker.more = {"refused": relays.refused, "closed": relays.closed}


async def resets(attacker: Attacker) -> None:
    """Streams opened and reset at once, with and without a protocol."""
    (connection,) = attacker.host.swarm.connections[attacker.worker]
    for number in range(RESETS):
        stream: Any = await connection.new_stream()
        if number % 2:
            await stream.write(b"\x13/multistream/1.0.0\n")
        await stream.reset()
        attacker.sent += 1


async def hoarding(attacker: Attacker) -> None:
    """Streams opened and held: never a byte, never an end."""
    (connection,) = attacker.host.swarm.connections[attacker.worker]
    for _ in range(5_000):
        with trio.fail_after(5):
            await (await connection.new_stream()).write(b"\x13/multistream/1.0.0\n")
        attacker.sent += 1


async def control(attacker: Attacker) -> None:
    """Frames full of what costs work: GRAFT and PRUNE by the thousand, ids wanted again and again, ids offered."""
    stream = await attacker.stream(MESHSUB)
    topic, ids = CONTENT_TOPIC, [NOISE(20) for _ in range(9_000)]
    graft, prune = rpc_pb2.ControlGraft(topicID=topic), rpc_pb2.ControlPrune(topicID=topic)
    frames = [
        rpc_pb2.ControlMessage(graft=[graft] * 3_000, prune=[prune] * 3_000),
        rpc_pb2.ControlMessage(iwant=[rpc_pb2.ControlIWant(messageIDs=ids)] * 4),
        rpc_pb2.ControlMessage(ihave=[rpc_pb2.ControlIHave(topicID=topic, messageIDs=ids)] * 4),
    ]
    for number in range(300):
        await stream.write(frame(rpc_pb2.RPC(control=frames[number % len(frames)])))
        attacker.sent += 1


async def overrunning(attacker: Attacker) -> None:
    """Past the window of a stream that nobody reads."""
    (connection,) = attacker.host.swarm.connections[attacker.worker]
    stream: Any = await connection.new_stream()
    await stream.write(b"\x13/multistream/1.0.0\n")
    muxed: Any = connection.muxed_conn
    number, piece = stream.muxed_stream.stream_id, NOISE(64 * 1024)
    while attacker.sent < POURED and not muxed.event_shutting_down.is_set():  # a closed socket takes all, silently
        await muxed.secured_conn.write(struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, number, len(piece)) + piece)
        attacker.sent += len(piece)


async def unfinished(attacker: Attacker) -> None:
    """Messages of which the last byte never comes, on every stream that is to be had."""
    for number in range(200):
        stream = await attacker.stream(MESHSUB if number % 2 else BITSWAP)
        size = MIB - 1 if number % 2 else 256 * 1024
        await stream.write(encode_varint(size) + NOISE(size - 1))
        attacker.sent += 1


async def cancelling(attacker: Attacker) -> None:
    """Wants taken back by the thousand, none of which there ever was."""
    never = [wire.Want(CidBytes(b"\x01\x55\x12\x20" + NOISE(32)), cancel=True) for _ in range(5_000)]
    message = wire.encode(wire.Message(wants=never))
    for _ in range(200):
        stream = await attacker.stream(BITSWAP)
        await stream.write(encode_varint(len(message)) + message)
        await stream.close()
        attacker.sent += 1


async def of_nothing(attacker: Attacker) -> None:
    """NEW-CIDs of what nobody has, each by another made-up origin: they fill the queue and every place in it."""

    async def messages() -> AsyncIterator[rpc_pb2.Message]:
        for number in range(400):
            yield signed(new_key(), number, b"NEW-CID:%s" % str(cid_of(RAW, b"nothing %d" % number)).encode())
            await trio.sleep(0.02)

    await attacker.gossip(messages())


async def thirsty(attacker: Attacker) -> None:
    """Twenty-five peers of one address that want blocks of the worker's and read nothing of them."""
    wants = wire.encode(wire.Message(wants=[wire.Want(parse_cid(cid).binary) for cid in attacker.cids]))

    async def hold(_stream: INetStream) -> None:
        await trio.sleep_forever()

    async with AsyncExitStack() as stack:
        for _ in range(25):
            host = await stack.enter_async_context(open_host(HostConfig(new_key(), (), swarm_key=attacker.swarm_key)))
            host.raw.set_stream_handler(TProtocol(BITSWAP), hold)
            await host.connect(attacker.address, 20)
            stream = await host.raw.new_stream(attacker.worker, [TProtocol(BITSWAP)])
            await stream.write(encode_varint(len(wants)) + wants)
            attacker.sent += 1
        await trio.sleep(8)


PEERS = (flood, large, forged, malformed, relaying, crowding, resets, hoarding)
GREEDY = (control, overrunning, unfinished, cancelling, of_nothing)
ATTACKS: dict[str, Callable[[Attacker], Awaitable[None]]] = {each.__name__: each for each in (*PEERS, *GREEDY, thirsty)}


async def dial(host: Host, worker: str) -> None:
    """By webrtc-direct with the library's own transport: ours is for listening."""
    if "/webrtc-direct/" not in worker:
        await host.connect(worker, 20)
        return
    from tests.adapters.p2p.webrtc_rig import transport

    key = host.raw.get_private_key()
    host.swarm.transport_manager.add_transport(transport(KeyPair(key, key.get_public_key())))
    with trio.fail_after(20):
        await host.swarm.dial_addr(Multiaddr(worker), ID.from_base58(worker.rpartition("/")[2]))


async def main(attack: str, worker: str, ip: str, swarm_key: str = "") -> None:
    key = bytes.fromhex(swarm_key) or None
    with dialling_from(ip):
        await _attack(attack, worker, key)


async def _attack(attack: str, worker: str, key: bytes | None) -> None:
    async with open_host(HostConfig(new_key(), (), swarm_key=key)) as host:
        await dial(host, worker)
        attacker = Attacker(host, worker, key)
        attack, _, cids = attack.partition(":")
        attacker.cids = cids.split(",") if cids else []
        with suppress(*GONE, trio.TooSlowError), trio.move_on_after(SECONDS_FOR.get(attack, SECONDS)):
            await ATTACKS[attack](attacker)
        with trio.move_on_after(3):
            while host.is_connected(peer_id(attacker.worker)):  # noqa: ASYNC110  the goodbye may be on its way
                await trio.sleep(0.05)
        connected = host.is_connected(peer_id(attacker.worker))
        print(json.dumps({"sent": attacker.sent, "connected": connected, **attacker.more}), flush=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
