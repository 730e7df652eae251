"""Whom we dial because of what is said on the discovery topic, and whom not. With Helia: tests/interop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.discovery import encode_peer
from pinning_worker.adapters.p2p.peer_exchange import PeerExchange
from tests.adapters.p2p.gossips import Node, meet, open_node

DISCOVERY = "doichain._peer-discovery._p2p._pubsub"


@asynccontextmanager
async def exchanging(node: Node) -> AsyncIterator[PeerExchange]:
    exchange = PeerExchange(node.host, node.topic)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        yield exchange
        nursery.cancel_scope.cancel()


def record(node: Node, *addresses: str) -> bytes:
    return encode_peer(node.host.raw.get_public_key(), [Multiaddr(one) for one in addresses])


async def connected(a: Node, b: Node) -> None:
    with trio.fail_after(15):
        while not a.host.is_connected(b.host.peer_id):
            await a.host.changed()


async def test_two_that_know_a_third_find_each_other() -> None:
    async with open_node(DISCOVERY) as a, open_node(DISCOVERY) as middle, open_node(DISCOVERY) as b:
        await meet(a, middle)
        await meet(b, middle)
        async with exchanging(a), exchanging(b):
            await connected(a, b)


async def test_garbage_and_records_of_others_are_counted_and_nobody_is_dialled_for_them() -> None:
    async with open_node(DISCOVERY) as us, open_node(DISCOVERY) as liar, open_node(DISCOVERY) as victim:
        await meet(liar, us)
        async with exchanging(us) as exchange:
            liar.topic.publish(b"\xff garbage")
            liar.topic.publish(record(victim, *victim.host.addresses))  # true, but not signed by whom it is about
            liar.topic.publish(record(liar, *liar.host.addresses))  # connected already
            with trio.fail_after(5):
                while exchange.garbage < 2:  # noqa: ASYNC110  a counter rings no bell
                    await trio.sleep(0.01)
            assert us.host.peers() == [liar.host.peer_id]


async def test_what_cannot_be_dialled_is_passed_over_and_a_dead_end_stops_nothing() -> None:
    """The first record leads nowhere and to what we don't dial; its sender's second one comes too soon to be tried."""
    async with open_node(DISCOVERY) as us, open_node(DISCOVERY) as middle:
        await meet(us, middle)
        async with exchanging(us), open_node(DISCOVERY) as lost, open_node(DISCOVERY) as found:
            await meet(lost, middle)
            await meet(found, middle)
            circuit = f"/ip4/192.0.2.1/tcp/1/p2p/{middle.host.peer_id}/p2p-circuit"
            lost.topic.publish(record(lost, circuit, "/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/127.0.0.1/tcp/1"))
            await middle.hears(record(lost, circuit, "/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/127.0.0.1/tcp/1"))
            lost.topic.publish(record(lost, *lost.host.addresses))
            await middle.hears(record(lost, *lost.host.addresses))
            found.topic.publish(record(found, circuit, *found.host.addresses))
            await connected(us, found)
            assert not us.host.is_connected(lost.host.peer_id)
