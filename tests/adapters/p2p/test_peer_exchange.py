"""Peers that we dial because of messages on the discovery topic, and others. With Helia: tests/interop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import pytest
import trio
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.addresses import worth_dialling
from pinning_worker.adapters.p2p.discovery.dialler import Dialler
from pinning_worker.adapters.p2p.discovery.peer_exchange import PeerExchange, in_order
from pinning_worker.adapters.p2p.discovery.pubsub_peer import encode_peer
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.relay.hop import RelayCaps
from tests.adapters.p2p.gossips import TCP, Node, meet, open_node

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
            with trio.fail_after(30):
                while exchange.garbage < 2:  # noqa: ASYNC110  a counter rings no bell
                    await trio.sleep(0.01)
            assert us.host.peers() == [liar.host.peer_id]


def circuit_of(node: Node) -> str:
    """Where it is reached through its relay, without its own name at the end."""
    found = next(address for address in node.host.addresses if "/p2p-circuit/" in address)
    return found.rpartition("/p2p/")[0]


async def test_who_can_be_reached_through_a_relay_only_is_dialled_through_it() -> None:
    async with (
        open_node("another topic", more={"relay": RelayCaps()}) as relay,
        open_node(DISCOVERY) as us,
        open_node(DISCOVERY) as middle,
        open_node(DISCOVERY, more={"bootstrap": (relay.host.addresses[0],), "relays_wanted": 1}) as hidden,
    ):
        await meet(us, middle)
        await meet(hidden, middle)
        with trio.fail_after(20):
            while not any("/p2p-circuit/" in address for address in hidden.host.addresses):  # noqa: ASYNC110
                await trio.sleep(0.01)
        async with exchanging(us):
            hidden.topic.publish(record(hidden, circuit_of(hidden)))
            await connected(us, hidden)
        assert set(us.host.peers()) == {middle.host.peer_id, relay.host.peer_id, hidden.host.peer_id}
        assert relay.host.hop is not None
        assert relay.host.hop.circuits == 1


async def test_the_next_address_is_tried_when_one_leads_nowhere() -> None:
    async with open_node(DISCOVERY) as us, open_node(DISCOVERY) as middle, open_node(DISCOVERY) as found:
        await meet(us, middle)
        await meet(found, middle)
        async with exchanging(us):
            found.topic.publish(record(found, "/ip4/127.0.0.1/tcp/1", *found.host.addresses))
            await connected(us, found)


async def test_who_is_where_nobody_can_read_ends_nobody() -> None:
    """Catches: one record on the discovery topic, and every worker that hears it ends."""
    async with open_node(DISCOVERY) as us, open_node(DISCOVERY) as middle, open_node(DISCOVERY) as odd:
        await meet(us, middle)
        await meet(odd, middle)
        relay = f"/ip4/127.0.0.1/tcp/1/p2p/{middle.host.peer_id}"
        where = [b"\x2a\x011", b"\x2a\x03a/b", b"\xff\xff", b""]
        where += [Multiaddr(f"{relay}/p2p-circuit{tail}").to_bytes() for tail in ("/ip6zone/x", "/ip4/1.1.1.1", "/ws")]
        where += [Multiaddr(f"/p2p-circuit{relay}").to_bytes(), Multiaddr(odd.host.addresses[0]).to_bytes()]
        async with exchanging(us):
            odd.topic.publish(
                encode_peer(
                    odd.host.raw.get_public_key(), [SimpleNamespace(to_bytes=partial(bytes, each)) for each in where]
                )
            )
            await connected(us, odd)


async def test_a_circuit_to_nobody_ends_nobody() -> None:
    """A unix path swallows the name that we write behind it."""
    async with open_node() as us:
        relay = f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id_of(new_key())}"
        way = f"{relay}/p2p-circuit/unix/a"
        assert worth_dialling(way, us.host.addresses)
        await Dialler(us.host, "test", us.host.connect_on_hearsay).dial(f"{way}/p2p/{peer_id_of(new_key())}")
        assert us.host.peers() == []


async def test_a_relay_on_the_way_counts_as_dialled() -> None:
    """A peer that names circuits through a victim does not make us dial the victim again and again."""
    async with open_node() as us, open_node() as victim:
        dialler = Dialler(us.host, "test", us.host.connect_on_hearsay)
        way = f"{victim.host.addresses[0]}/p2p-circuit/p2p/"
        await dialler.dial(way + peer_id_of(new_key()))
        assert us.host.peers() == [victim.host.peer_id]
        await victim.host.disconnect(us.host.peer_id)
        with trio.fail_after(30):
            while us.host.peers():
                await us.host.changed()
        await dialler.dial(way + peer_id_of(new_key()))
        assert us.host.peers() == []


D1, D2, D3, D4 = (f"/ip4/127.0.0.1/tcp/{port}" for port in range(1, 5))
C1, C2, C3, C4 = (f"/ip4/127.0.0.1/tcp/{port}/p2p/RELAY/p2p-circuit" for port in range(1, 5))


@pytest.mark.parametrize(
    ("told", "tried"),
    [
        ([], []),
        ([D1, D2, D3, D4], [D1, D2, D3]),
        ([C1, D1, C2], [D1, C1, C2]),
        ([C1, C2, D1, D2, D3], [D1, D2, C1]),
        ([C1, C2, C3, C4], [C1, C2, C3]),
    ],
)
def test_direct_addresses_come_first_and_a_relay_has_its_turn(told: list[str], tried: list[str]) -> None:
    assert in_order(told) == tried


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


async def test_nobody_is_wanted_once_half_of_the_connections_are_in_use() -> None:
    async with (
        open_host(HostConfig(new_key(), (TCP,), max_connections=2, kept_for_dialling=1)) as small,
        open_host(HostConfig(new_key(), (TCP,))) as somebody,
    ):
        dialler, other = Dialler(small, "test"), peer_id_of(new_key())
        assert dialler.wants(other)
        await small.connect(somebody.addresses[0], 20)
        assert not dialler.wants(peer_id_of(new_key()))
