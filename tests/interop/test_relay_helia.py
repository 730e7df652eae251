"""Our relay with real Helias: who listens nowhere else is reached through it, and its circuits carry bitswap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from pinning_worker.adapters.p2p.gossip.pubsub import Topic, open_pubsub
from pinning_worker.adapters.p2p.relay.hop import Hop, RelayCaps
from pinning_worker.domain.content.cid import parse_cid
from tests.adapters.p2p.bitswap.rig import TCP, WS, Node, open_node
from tests.interop.helia import CONTENT_TOPIC, KIB, MIB, Helia, HeliaError, open_helia
from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_node]


@asynccontextmanager
async def open_relay(caps: RelayCaps = RelayCaps()) -> AsyncIterator[tuple[Node, Hop, Topic]]:  # noqa: B008  frozen
    async with open_node(listen=(TCP, WS), more={"relay": caps}) as node, open_pubsub(node.host) as pubsub:
        topic = await pubsub.join(CONTENT_TOPIC)
        assert node.host.hop is not None
        node.host.hop.welcome = topic.has_subscriber
        yield node, node.host.hop, topic


def through(node: Node, over: str = "ws") -> str:
    return f"{node.ws_address if over == 'ws' else node.address}/p2p-circuit"


async def until_on_topic(topic: Topic, peer: Helia) -> None:
    await peer.wait_mesh()
    assert topic.has_subscriber(peer.peer_id)


@pytest.mark.parametrize("over", ["tcp", "ws"])
async def test_who_listens_at_our_relay_only_is_fetched_from_over_its_own_connection(over: str) -> None:
    async with open_relay() as (node, hop, _), open_helia([through(node, over)]) as browser:
        assert all("/p2p-circuit" in address for address in browser.addrs), browser.addrs
        assert browser.addrs
        file = await browser.add_file(3 * MIB, chunk_size=256 * KIB)
        fetched = await node.fetch(parse_cid(file.cid), browser.peer_id)
        assert fetched.bytes == file.dag_bytes
        assert hop.carried_bytes == hop.circuits == 0
        assert [each.peer_id for each in await browser.connections()] == [node.host.peer_id]


@pytest.mark.parametrize("over", ["tcp", "ws"])
async def test_another_reads_ten_mebibytes_from_it_through_us(over: str) -> None:
    async with open_relay() as (node, hop, _), open_helia([through(node, over)]) as browser, open_helia([]) as reader:
        file = await browser.add_file(10 * MIB)
        assert await reader.dial(f"{through(node, over)}/p2p/{browser.peer_id}") == browser.peer_id
        assert [each.limited for each in await reader.connections() if each.peer_id == browser.peer_id] == [False]
        read = await reader.cat(file.cid)
        assert (read.bytes, read.sha256) == (10 * MIB, file.sha256)
        print(f"10 MiB through our relay over {over}: {read.ms:.0f} ms")
        assert hop.circuits == 1
        await reader.hangup(browser.peer_id)
        await until_no_circuit(hop)
        assert hop.carried_bytes > 10 * MIB


async def test_one_circuit_of_three_ends_and_the_others_carry_on() -> None:
    async with (
        open_relay() as (node, hop, _),
        open_helia([through(node)]) as browser,
        open_helia([]) as first,
        open_helia([]) as second,
    ):
        for reader in (first, second):
            await reader.dial(f"{through(node)}/p2p/{browser.peer_id}")
        await first.hangup(browser.peer_id)
        await until_no_circuit(hop, left=1)
        file = await browser.add_file(2 * MIB)
        assert (await second.cat(file.cid)).sha256 == file.sha256


async def test_who_is_not_reserved_or_over_the_caps_is_refused() -> None:
    async with (
        open_relay(RelayCaps(relay_circuits_per_peer=1)) as (node, _, _topic),
        open_helia([through(node)]) as browser,
        open_helia([]) as first,
        open_helia([]) as second,
    ):
        await first.dial(f"{through(node)}/p2p/{browser.peer_id}")
        with pytest.raises(HeliaError, match="RESOURCE_LIMIT_EXCEEDED"):
            await second.dial(f"{through(node)}/p2p/{browser.peer_id}")
        await second.dial(node.ws_address)
        with pytest.raises(HeliaError, match="NO_RESERVATION"):
            await first.dial(f"{through(node)}/p2p/{second.peer_id}")


async def test_a_circuit_that_has_carried_its_bytes_ends() -> None:
    async with (
        open_relay(RelayCaps(relay_bytes_per_circuit=MIB)) as (node, hop, _),
        open_helia([through(node)]) as browser,
        open_helia([]) as reader,
    ):
        file = await browser.add_file(2 * MIB)
        await reader.dial(f"{through(node)}/p2p/{browser.peer_id}")
        with pytest.raises(HeliaError):
            await reader.cat(file.cid, deadline=5)
        await until_no_circuit(hop)
        assert hop.carried_bytes <= MIB


@pytest.mark.parametrize("over", ["tcp", "ws"])
async def test_a_worker_behind_a_firewall_is_reached_through_a_relay_and_its_blocks_too(over: str) -> None:
    async with (
        open_relay() as (relay, hop, _),
        open_node(
            listen=(TCP,),
            more={"bootstrap": (relay.ws_address if over == "ws" else relay.address,), "relays_wanted": 1},
        ) as hidden,
        open_helia([]) as reader,
    ):
        with trio.fail_after(30):
            while hidden.host.relay_client is None or not hidden.host.relay_client.relays:  # noqa: ASYNC110
                await trio.sleep(0.01)
        (circuit, *_) = (address for address in hidden.host.addresses if "/p2p-circuit/" in address)
        await reader.dial(circuit)
        file = await reader.add_file(10 * MIB)
        assert (await hidden.fetch(parse_cid(file.cid), reader.peer_id)).bytes == file.dag_bytes
        await reader.forget()
        assert (await reader.cat(file.cid)).sha256 == file.sha256
        await reader.hangup(hidden.host.peer_id)
        await until_no_circuit(hop)
        assert hop.carried_bytes > 20 * MIB


@pytest.mark.parametrize("over", ["tcp", "ws"])
@pytest.mark.parametrize("connected", [True, False], ids=["the relay is connected", "the relay is dialled"])
async def test_we_dial_who_listens_at_a_relay_only_and_fetch_and_serve(over: str, connected: bool) -> None:
    async with open_relay() as (relay, hop, _), open_helia([through(relay, over)]) as browser, open_node() as worker:
        (circuit, *_) = browser.addrs
        assert "/p2p-circuit/" in circuit
        if connected:
            await worker.host.connect(relay.address, 20)
        assert await worker.host.connect(circuit, 20) == browser.peer_id
        file = await browser.add_file(10 * MIB)
        assert (await worker.fetch(parse_cid(file.cid), browser.peer_id)).bytes == file.dag_bytes
        await browser.forget()
        assert (await browser.cat(file.cid)).sha256 == file.sha256
        assert [each.limited for each in await browser.connections() if each.peer_id == worker.id] == [False]
        assert hop.carried_bytes > 20 * MIB
        await worker.host.disconnect(browser.peer_id)
        await until_no_circuit(hop)


async def test_an_origin_behind_a_relay_is_dialled_for_a_fetch() -> None:
    async with open_relay() as (relay, _, _topic), open_helia([through(relay)]) as browser, open_node() as worker:
        file = await browser.add_file(2 * MIB)
        fetched = await worker.fetch(parse_cid(file.cid), origins=browser.addrs)
        assert fetched.bytes == file.dag_bytes


async def until_no_circuit(hop: Hop, left: int = 0) -> None:
    with trio.fail_after(30):
        while hop.circuits > left:  # noqa: ASYNC110  nobody is told when a circuit ends
            await trio.sleep(0.01)
