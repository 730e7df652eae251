"""A peer that says what no library would, and another of ours that hears it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libp2p.abc import INetStream
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.gossip.router import Router
from tests.adapters.p2p.gossips import TOPIC, Node, meet, open_node
from tests.interop.attacker import frame


class Stranger:
    """Connected and subscribed; says what no library would."""

    def __init__(self, node: Node, victim: Node, stream: INetStream) -> None:
        private = node.host.raw.get_private_key()
        self.node = node
        self.victim = victim
        self._key = KeyPair(private, private.get_public_key())
        self._stream = stream
        self._last = 2**63

    async def say(self, **fields: Any) -> None:
        await self._stream.write(frame(rpc_pb2.RPC(**fields)))

    async def write(self, frame: bytes) -> None:
        await self._stream.write(encode_varint_prefixed(frame))

    async def control(self, **fields: Any) -> None:
        await self.say(control=rpc_pb2.ControlMessage(**fields))

    def signed(self, data: bytes, number: bytes, *topics: str) -> rpc_pb2.Message:
        message = rpc_pb2.Message(data=data, from_id=self.node.host.raw.get_id().to_bytes(), seqno=number)
        message.topicIDs.extend(topics)
        message.signature = self._key.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
        return message

    async def heard_out(self) -> None:
        """Returns when the victim has read all that was said before."""
        self._last += 1
        data = b"the last %d" % self._last
        await self.say(publish=[self.signed(data, self._last.to_bytes(8, "big"), TOPIC)])
        await self.victim.hears(data, seconds=30)


@asynccontextmanager
async def open_stranger() -> AsyncIterator[tuple[Stranger, Node, Router]]:
    async with open_node() as victim, open_node() as node:
        await meet(node, victim)
        stream = await node.host.raw.new_stream(victim.host.raw.get_id(), [TProtocol("/meshsub/1.1.0")])
        router = victim.pubsub._raw.router
        assert isinstance(router, Router)
        yield Stranger(node, victim, stream), victim, router
