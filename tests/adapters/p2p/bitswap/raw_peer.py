"""A peer that speaks bitswap by hand: every message is one that the test wrote, and every answer is kept.

The host and its streams are real; only the engine is missing, so that a test can say what no engine would.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from libp2p.abc import INetStream
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.bitswap.engine import PROTOCOLS
from pinning_worker.adapters.p2p.bitswap.wire import Block, Message, Presence, Want, decode, encode
from pinning_worker.adapters.p2p.frames import FrameReader, StreamGone, write_frame
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.domain.content.cid import encode_varint
from pinning_worker.domain.identities import PeerId
from tests.adapters.p2p.bitswap.rig import TCP, Node

RAW_PREFIX = b"\x01\x55\x12\x20"


@dataclass
class RawPeer:
    """`says_have`: it promises every block that it is asked for, and says nothing else by itself."""

    host: Host
    heard: list[Message] = field(default_factory=list)
    says_have: bool = False
    _news: trio.Event = field(default_factory=trio.Event)

    @property
    def id(self) -> PeerId:
        return self.host.peer_id

    async def connect(self, node: Node) -> None:
        await self.host.connect(node.address, 10)

    async def open(self, node: Node) -> INetStream:
        return await self.host.raw.new_stream(ID.from_string(node.id), PROTOCOLS)

    async def say(self, node: Node, message: Message) -> None:
        """On a stream of its own, closed after it, as Helia does."""
        stream = await self.open(node)
        await write_frame(stream, encode(message))
        await stream.close()

    async def give(self, node: Node, *blocks: bytes, seconds: float = 0) -> None:
        """Raw ones, in a message of theirs; over so many seconds."""
        message = encode(Message(blocks=[Block(RAW_PREFIX, block) for block in blocks]))
        frame, piece = encode_varint(len(message)) + message, len(message) // 20 + 1
        stream = await self.open(node)
        for at in range(0, len(frame), piece):
            await stream.write(frame[at : at + piece])
            await trio.sleep(seconds / 20)
        await stream.close()

    async def until(self, fits: Callable[[list[Message]], bool], deadline: float = 30) -> list[Message]:
        """Everything heard, once it fits."""
        with trio.fail_after(deadline):
            while not fits(self.heard):
                await self._news.wait()
        return self.heard

    async def until_wants(self, count: int) -> list[Want]:
        """The wants heard so far, at least so many, cancels left out."""
        await self.until(lambda heard: len(wants_in(heard)) >= count)
        return wants_in(self.heard)

    async def listen(self, stream: INetStream) -> None:
        frames = FrameReader(stream)
        try:
            while (frame := await frames.next()) is not None:
                self.heard.append(decode(bytes(frame)))
                self._news.set()
                self._news = trio.Event()
                if self.says_have:
                    await self._promise(stream.muxed_conn.peer_id, wants_in(self.heard[-1:]))
        except StreamGone:
            pass

    async def _promise(self, peer: ID, wants: list[Want]) -> None:
        stream = await self.host.raw.new_stream(peer, PROTOCOLS)
        await write_frame(stream, encode(Message(presences=[Presence(want.cid, have=True) for want in wants])))
        await stream.close()


def wants_in(heard: list[Message]) -> list[Want]:
    return [want for message in heard for want in message.wants if not want.cancel]


def cancels_in(heard: list[Message]) -> set[bytes]:
    return {want.cid for message in heard for want in message.wants if want.cancel}


def blocks_in(heard: list[Message]) -> list[bytes]:
    return [bytes(block.data) for message in heard for block in message.blocks]


@asynccontextmanager
async def open_raw_peer(key: KeyPair | None = None) -> AsyncIterator[RawPeer]:
    async with open_host(HostConfig(key or new_key(), listen=(TCP,))) as host:
        peer = RawPeer(host)
        for protocol in PROTOCOLS:
            host.raw.set_stream_handler(protocol, peer.listen)
        yield peer
