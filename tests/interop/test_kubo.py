"""Kubo, the other great implementation: it asks and is answered, gives blocks and reads them, leaves and comes back at
once; and all of it in a private network."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.gossip.pubsub import Topic, open_pubsub
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.host.protected_connection import fingerprint
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.domain.content.cid import RAW, cid_of, parse_cid
from pinning_worker.ungroup import one_error
from tests.adapters.p2p.bitswap.rig import Node, add_file, chunks
from tests.interop.helia import CONTENT_TOPIC, KIB, LOCAL_TCP, LOCAL_WS, MIB
from tests.interop.kubo import Kubo, KuboError, needs_kubo, open_kubo
from tests.interop.market import open_market
from tests.interop.test_p2p_helia import hear

pytestmark = [pytest.mark.interop, needs_kubo]

TRANSPORTS = pytest.mark.parametrize("over", ["tcp", "ws"])
SWARM_KEY = secrets.token_bytes(32)


@asynccontextmanager
async def open_peer(over: str, swarm_key: bytes | None = None) -> AsyncIterator[tuple[Node, Topic]]:
    """A worker's host, gossip and bitswap, reachable over that transport only: Kubo dials any address that it knows."""
    config = HostConfig(new_key(), (LOCAL_TCP if over == "tcp" else LOCAL_WS,), swarm_key=swarm_key)
    async with open_host(config) as host, open_pubsub(host) as pubsub:
        blocks = MemoryBlocks()
        engine = Engine(host, blocks)
        topic = await pubsub.join(CONTENT_TOPIC)
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(engine.run)
                yield Node(host, engine, blocks), topic
                nursery.cancel_scope.cancel()


async def talk(kubo: Kubo, node: Node, topic: Topic, word: str) -> None:
    """One message each way, each said once."""
    await kubo.until_subscribed(node.id)
    await kubo.publish(f"{word}?")
    assert await hear(topic, f"{word}?") == kubo.peer_id
    topic.publish(f"{word}!".encode())
    await kubo.heard(lambda message: message.text == f"{word}!")


async def give_and_take(kubo: Kubo, node: Node) -> None:
    """Five mebibytes from Kubo to us; ours to Kubo."""
    theirs = await kubo.add(secrets.token_bytes(5 * MIB), chunk_size=256 * KIB)
    fetched = await node.fetch(parse_cid(theirs), kubo.peer_id)
    assert fetched.bytes > 5 * MIB
    pieces = chunks(5, MIB)
    ours = await add_file(node.blocks, *pieces)
    assert await kubo.has(str(ours)) is False
    assert await kubo.cat(str(ours)) == b"".join(pieces)


@TRANSPORTS
async def test_new_cid_from_kubo_is_answered_with_a_quote(over: str, tmp_path: Path) -> None:
    async with open_market(tmp_path) as market, market.worker() as worker, open_kubo(tmp_path / "kubo", over) as kubo:
        await kubo.connect(worker.tcp_addr if over == "tcp" else worker.ws_addr)
        assert await kubo.transport_to(worker.peer_id) == over
        await kubo.until_subscribed(worker.peer_id)
        cid = await kubo.add(secrets.token_bytes(MIB), chunk_size=256 * KIB)
        await kubo.publish(f"NEW-CID:{cid}")
        quote = (await kubo.heard(lambda message: message.says("ADDING-CID", cid))).json
        assert quote["bytes"]["total"] > MIB
        assert quote["fee"]["amount"] > 0


@TRANSPORTS
async def test_bitswap_both_ways(over: str, tmp_path: Path) -> None:
    async with open_peer(over) as (node, _), open_kubo(tmp_path / "kubo", over) as kubo:
        await kubo.connect(node.host.addresses[0])
        assert await kubo.transport_to(node.id) == over
        await give_and_take(kubo, node)


@TRANSPORTS
async def test_who_disconnects_and_comes_back_at_once_is_heard(over: str, tmp_path: Path) -> None:
    async with open_peer(over) as (node, topic), open_kubo(tmp_path / "kubo", over) as kubo:
        for time in range(5):
            await kubo.connect(node.host.addresses[0])
            await talk(kubo, node, topic, f"time {time}")
            await kubo.disconnect(node.id)


async def test_what_it_wanted_before_it_left_is_served_when_it_comes_back(tmp_path: Path) -> None:
    """Kubo does not ask again for some 40 s: the want it has sent must be remembered."""
    async with open_peer("tcp") as (node, _), open_kubo(tmp_path / "kubo") as kubo, trio.open_nursery() as nursery:
        pieces = chunks(2, MIB)
        elsewhere = MemoryBlocks()
        root = await add_file(elsewhere, *pieces)
        await kubo.connect(node.host.addresses[0])
        read = bytearray()

        async def cat() -> None:
            read.extend(await kubo.cat(str(root)))

        nursery.start_soon(cat)
        await kubo.until(lambda wanted: str(root) in wanted.split(), "bitswap", "wantlist")
        await kubo.disconnect(node.id)
        await kubo.connect(node.host.addresses[0])
        assert await add_file(node.blocks, *pieces) == root
        for cid in (root, *(cid_of(RAW, piece) for piece in pieces)):
            node.engine.block_stored(cid.multihash)
    assert bytes(read) == b"".join(pieces)


@TRANSPORTS
@pytest.mark.parametrize("who_dials", ["kubo", "us"])
async def test_a_private_network(over: str, who_dials: str, tmp_path: Path) -> None:
    async with (
        open_kubo(tmp_path / "kubo", over, swarm_key=SWARM_KEY) as kubo,
        open_peer(over, SWARM_KEY) as (node, topic),
    ):
        assert kubo.fingerprint == fingerprint(SWARM_KEY)
        if who_dials == "kubo":
            await kubo.connect(node.host.addresses[0])
        else:
            await node.host.connect(kubo.addrs[0], deadline=10)
        await talk(kubo, node, topic, "inside")
        await give_and_take(kubo, node)


async def test_strangers_of_a_private_network(tmp_path: Path) -> None:
    async with open_kubo(tmp_path / "kubo") as kubo, open_peer("tcp", SWARM_KEY) as (node, _):
        with pytest.raises(KuboError):
            await kubo.connect(node.host.addresses[0])
        with pytest.raises(CannotConnect):
            await node.host.connect(kubo.addrs[0], deadline=15)
        assert await kubo.peers() == []
