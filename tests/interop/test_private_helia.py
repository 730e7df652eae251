"""A private network with real js-libp2p peers (`@libp2p/pnet`): gossip and blocks over tcp and ws; no strangers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.gossip.pubsub import Topic, open_pubsub
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.domain.content.cid import parse_cid
from pinning_worker.ungroup import one_error
from tests.adapters.p2p.bitswap.rig import Node, address_of
from tests.interop.helia import CONTENT_TOPIC, LOCAL_TCP, LOCAL_WS, MIB, Helia, HeliaError, open_helia
from tests.interop.node_binary import needs_node
from tests.interop.test_p2p_helia import talk

pytestmark = [pytest.mark.interop, needs_node]

SWARM_KEY = secrets.token_bytes(32)


@asynccontextmanager
async def open_private_worker() -> AsyncIterator[tuple[Node, Topic]]:
    """tcp and ws on one port, as a worker listens unless told otherwise."""
    config = HostConfig(new_key(), (LOCAL_TCP, LOCAL_WS), swarm_key=SWARM_KEY)
    async with open_host(config) as host, open_pubsub(host) as pubsub:
        blocks = MemoryBlocks()
        engine = Engine(host, blocks)
        topic = await pubsub.join(CONTENT_TOPIC)
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(engine.run)
                yield Node(host, engine, blocks), topic
                nursery.cancel_scope.cancel()


async def speak_and_move_blocks(node: Node, topic: Topic, helia: Helia) -> None:
    await helia.wait_mesh(peer_id=node.id)
    await talk(helia, topic, "inside")
    file = await helia.add_file(5 * MIB)  # chunks of 1 MiB: js sends them as larger websocket messages than the rest
    assert (await node.fetch(parse_cid(file.cid), helia.peer_id)).bytes == file.dag_bytes
    await helia.forget()
    assert (await helia.cat(file.cid)).sha256 == file.sha256


@pytest.mark.parametrize("over", ["tcp", "ws"])
async def test_helia_dials_us(over: str) -> None:
    async with open_private_worker() as (node, topic), open_helia([], swarm_key=SWARM_KEY) as helia:
        assert await helia.dial(address_of(node.host, over)) == node.id
        await speak_and_move_blocks(node, topic, helia)


@pytest.mark.parametrize("over", ["tcp", "ws"])
async def test_we_dial_helia(over: str) -> None:
    async with open_helia(swarm_key=SWARM_KEY) as helia, open_private_worker() as (node, topic):
        address = helia.tcp_addr if over == "tcp" else helia.ws_addr
        assert await node.host.connect(address, deadline=10) == helia.peer_id
        await speak_and_move_blocks(node, topic, helia)


@pytest.mark.parametrize("stranger_key", [None, bytes(32)], ids=["without a key", "with another"])
async def test_a_stranger_is_refused(stranger_key: bytes | None) -> None:
    async with open_private_worker() as (node, _), open_helia(swarm_key=stranger_key) as stranger:
        for address in node.host.addresses:
            with pytest.raises(HeliaError):
                await stranger.dial(address, deadline=15)
        with pytest.raises(CannotConnect):
            await node.host.connect(stranger.tcp_addr, deadline=15)
        assert node.host.peers() == []
        assert await stranger.peers() == []
