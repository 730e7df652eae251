"""Frames that are wrong in every way we could think of, for each protocol that a worker says it speaks.

Each goes over a connection of its own, and every few from a peer that nobody knows yet, so that what an earlier one
brought about (the worker hangs up, a ban) hides nothing. Some end in the middle and then say nothing, or a byte now and
then.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any

import trio
from google.protobuf.message import Message
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId
from libp2p.stream_muxer.yamux.yamux import YAMUX_HEADER_FORMAT
from libp2p.utils import encode_varint_prefixed
from libp2p.utils.varint import read_length_prefixed_protobuf

from pinning_worker.adapters.p2p.bitswap import wire
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.peer_ids import library_id, peer_id
from pinning_worker.adapters.p2p.relay.wire import HopMessage, StopMessage
from pinning_worker.domain.content.cid import CidBytes

AT_ONCE = 12
BY_ONE_PEER = 3  # fewer than bring a ban
SILENT_SECONDS, DRIPS = 0.3, 40
MUTATIONS = 15
SEED = 2027
NOISE = random.Random(SEED).randbytes
GONE = (BaseLibp2pError, CannotConnect, OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)
TOPIC = "/doichain-nfc/1/message/proto"
NOBODY = b"\x12\x20" + bytes(32)
CID = CidBytes(b"\x01\x55\x12\x20" + bytes(32))

ODD_RPC = rpc_pb2.RPC(
    subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid="\u202e" * 500), rpc_pb2.RPC.SubOpts()],
    publish=[
        rpc_pb2.Message(),
        rpc_pb2.Message(
            from_id=NOISE(5_000), seqno=NOISE(500), topicIDs=[TOPIC], data=b"x", signature=b"", key=b"\xff"
        ),
        rpc_pb2.Message(from_id=NOBODY, topicIDs=[TOPIC] * 1_000),
    ],
    control=rpc_pb2.ControlMessage(
        ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[NOISE(40) for _ in range(6_000)])],
        iwant=[rpc_pb2.ControlIWant(messageIDs=[b"", NOISE(3_000)] * 100)],
        graft=[rpc_pb2.ControlGraft(topicID=TOPIC)] * 500 + [rpc_pb2.ControlGraft()],
        prune=[rpc_pb2.ControlPrune(topicID=TOPIC, backoff=2**63, peers=[rpc_pb2.PeerInfo(peerID=NOISE(99))] * 500)],
    ),
    senderRecord=NOISE(5_000),
)
MANY_TINY = rpc_pb2.RPC(publish=[rpc_pb2.Message(topicIDs=[TOPIC], data=b"%d" % n) for n in range(25_000)])
ODD_IDENTIFY = Identify(
    public_key=NOISE(900),
    listen_addrs=[b"", NOISE(50)] * 900,
    protocols=["", "\u202e", "x" * 9_000],
    signedPeerRecord=b"\x01",
)
ODD_HOP = HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=NOISE(3_000), addrs=[NOISE(9)] * 99))
ODD_STOP = StopMessage(type=StopMessage.CONNECT, peer=PeerId(id=b""))
VALID: dict[str, list[Message]] = {
    "meshsub": [ODD_RPC, MANY_TINY],
    "/id/": [ODD_IDENTIFY, Identify(protocols=["x"] * 300_000)],
    "bitswap": [],
    "/hop": [ODD_HOP, HopMessage(type=HopMessage.RESERVE)],
    "/stop": [ODD_STOP],
}
WANTS = wire.encode(wire.Message(wants=[wire.Want(CID, priority=2**31 - 1)], full=True))


def frames(protocol: str) -> Iterator[bytes]:
    """What is written on one stream each."""
    yield from (b"", NOISE(500), encode_varint_prefixed(NOISE(300)), b"\xff" * 64, b"\x80", b"\x80\x00" * 30)
    yield b"\x80\x80\x80\x08" + bytes(5_000)  # 16 MiB are said to follow
    yield b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(5_000)
    yield b"\x00" * 20_000  # empty messages
    dice = random.Random(SEED)
    whole = [m.SerializeToString() for part, known in VALID.items() if part in protocol for m in known]
    whole += [WANTS, WANTS * 2_000] if "bitswap" in protocol else []
    for message in whole:
        yield encode_varint_prefixed(message)
        yield encode_varint_prefixed(message)[: len(message) // 2]  # and then nothing
    for _ in range(MUTATIONS if whole else 0):
        yield encode_varint_prefixed(mutated(dice.choice(whole)[:2_000], dice))


def mutated(message: bytes, dice: random.Random) -> bytes:
    changed = bytearray(message)
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(changed))
        match dice.randrange(3):
            case 0:
                changed[at] = dice.randrange(256)
            case 1:
                del changed[at : at + dice.randrange(1, 9)]
                changed += b"\x00"
            case _:
                changed[at:at] = dice.randbytes(dice.randrange(1, 9))
    return bytes(changed)


def yamux_frames() -> Iterator[bytes]:
    """In the place of yamux's, inside an encrypted connection."""

    def header(version: int, kind: int, flags: int, stream: int, length: int) -> bytes:
        return struct.pack(YAMUX_HEADER_FORMAT, version, kind, flags, stream, length)

    yield from (NOISE(2_000), b"\x00" * 5, header(9, 0, 0, 1, 0), header(0, 77, 0, 1, 0))
    yield header(0, 0, 0, 1, 2**32 - 1) + bytes(5_000)  # data of 4 GiB, on no stream
    yield header(0, 0, 1, 1, 2**32 - 1) + bytes(5_000)  # and on a new one
    yield header(0, 0, 1, 1, 16 * 1024 * 1024) + bytes(300_000)  # more than the window, and half of it
    yield header(0, 1, 1, 1, 2**32 - 1) * 3  # windows beyond counting
    yield header(0, 1, 1, 0, 5) + header(0, 0, 15, 3, 0)  # stream 0; all flags at once
    yield header(0, 1, 1, 1, 0) * 2_000  # the same stream over and over
    yield header(0, 2, 1, 0, 7) * 20_000  # pings
    yield header(0, 2, 2, 0, 7) * 20_000  # answers to pings that nobody sent
    yield header(0, 3, 0, 0, 99) * 100  # goodbye, a hundred times
    yield b"".join(header(0, 1, 1, 2 * n + 1, 0) for n in range(5_000))  # streams without end
    yield b"".join(header(0, 1, 4, 2 * n + 1, 0) for n in range(5_000))  # ends of streams that never were


Throw = Callable[[Host, ID], Awaitable[None]]


class Thrower:
    """Throws all of it at one worker; `thrown` counts what was on a connection. `left`: what had no turn yet.
    `missed`: protocols, and yamux, at which nothing was thrown."""

    def __init__(self, worker: str, swarm_key: bytes | None = None) -> None:
        self.worker = worker
        self.thrown = 0
        self.left = 0
        self.missed: set[str] = set()
        self._swarm_key = swarm_key
        self._turn = trio.CapacityLimiter(AT_ONCE)

    async def all_protocols(self) -> None:
        throws: list[tuple[str, Throw]] = []
        for protocol in await self._protocols():
            throws += ((protocol, partial(_write, protocol, frame)) for frame in frames(protocol))
            throws.append((protocol, partial(_drip, protocol)))
        throws += (("yamux", partial(_write_raw, frame)) for frame in yamux_frames())
        self.left = len(throws)
        self.missed = {kind for kind, _ in throws}
        async with trio.open_nursery() as nursery:
            for first in range(0, len(throws), BY_ONE_PEER):
                nursery.start_soon(self._throw, throws[first : first + BY_ONE_PEER])

    def _host(self) -> AbstractAsyncContextManager[Host]:
        return open_host(HostConfig(new_key(), (), swarm_key=self._swarm_key))

    async def _protocols(self) -> list[str]:
        """All that the worker says it speaks."""
        async with self._host() as host:
            worker = library_id(await host.connect(self.worker, 20))
            with trio.fail_after(10):
                asked = await _stream("/ipfs/id/1.0.0", host, worker)
                return list(Identify.FromString(await read_length_prefixed_protobuf(asked)).protocols)

    async def _throw(self, throws: Sequence[tuple[str, Throw]]) -> None:
        async with self._turn, self._host() as host:
            for kind, throw in throws:
                self.left -= 1
                with suppress(*GONE):
                    worker = library_id(await host.connect(self.worker, 20))
                    self.thrown += 1
                    self.missed.discard(kind)
                    with trio.move_on_after(10):
                        await throw(host, worker)
                    await host.disconnect(peer_id(worker))


async def _write(protocol: str, frame: bytes, host: Host, worker: ID) -> None:
    stream = await _stream(protocol, host, worker)
    await stream.write(frame)
    with trio.move_on_after(SILENT_SECONDS):
        await stream.read(1)


async def _drip(protocol: str, host: Host, worker: ID) -> None:
    """A message of 1 000 bytes, one at a time."""
    stream = await _stream(protocol, host, worker)
    await stream.write(b"\xe8\x07")
    for _ in range(DRIPS):
        await stream.write(b"\x0a")
        await trio.sleep(0.1)


async def _write_raw(frame: bytes, host: Host, worker: ID) -> None:
    connections = host.swarm.get_connections(worker)
    if not connections:
        return  # it has hung up already
    raw: Any = connections[-1]  # the one before may be about to end still
    await raw.muxed_conn.secured_conn.write(frame)
    with trio.move_on_after(SILENT_SECONDS):
        await raw.event_closed.wait()


async def _stream(protocol: str, host: Host, worker: ID) -> INetStream:
    return await host.raw.new_stream(worker, [TProtocol(protocol)])
