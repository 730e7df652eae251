"""Two or more of our own hosts that gossip, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from libp2p.crypto.keys import KeyPair

from pinning_worker.adapters.p2p.bounds.intake import Heard
from pinning_worker.adapters.p2p.gossip.pubsub import PubSub, Topic, open_pubsub
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, OpenHost, open_host

TCP, WS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"
TOPIC = "/doichain-nfc/1/message/proto"


@dataclass(frozen=True)
class Node:
    host: OpenHost
    pubsub: PubSub
    topic: Topic

    async def hears(self, data: bytes, seconds: float = 30) -> Heard:
        """Raises trio.TooSlowError."""
        with trio.fail_after(seconds):
            while (heard := await self.topic.intake.get()).data != data:
                pass
        return heard


@asynccontextmanager
async def open_node(
    name: str = TOPIC,
    key: KeyPair | None = None,
    listen: tuple[str, ...] = (TCP, WS),
    direct_peers: Sequence[str] = (),
    more: Mapping[str, Any] = {},
) -> AsyncIterator[Node]:
    """`more` is of HostConfig."""
    config = HostConfig(key or new_key(), listen, direct_peers=tuple(direct_peers), **more)
    async with open_host(config) as host, open_pubsub(host) as pubsub:
        yield Node(host, pubsub, await pubsub.join(name))


async def meet(a: Node, b: Node) -> None:
    """a dials b; returns when each has the other in its mesh."""
    await a.host.connect(b.host.addresses[0], deadline=20)
    with trio.fail_after(30):
        while not (b.host.peer_id in a.topic.mesh_peers and a.host.peer_id in b.topic.mesh_peers):  # noqa: ASYNC110
            await trio.sleep(0.01)
