"""Direct peers between hosts of ours: in each other's mesh however large it is, whichever of the two names the other;
trusted with more than others, and not counted when we ask whether there is room."""

from __future__ import annotations

from collections import defaultdict
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

from pinning_worker.adapters.p2p.bounds import flood_guard as flood
from pinning_worker.adapters.p2p.bounds.bucket import BURST_SECONDS
from pinning_worker.adapters.p2p.bounds.flood_guard import FloodGuard, GossipLimits
from pinning_worker.adapters.p2p.gossip.router import MESH_WE_ASK_FOR, Router
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from tests.adapters.p2p.gossips import TCP, Node, meet, open_node

MANY = MESH_WE_ASK_FOR


@pytest.fixture
def without_gossip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody of ours says what it has: a message comes by being handed over, or not at all."""

    def nothing(self: Router) -> defaultdict[Any, Any]:
        return defaultdict(dict)

    monkeypatch.setattr(Router, "gossip_heartbeat", nothing)


async def crowd(around: AsyncExitStack, *hubs: Node) -> list[Node]:
    """Subscribers that are in the mesh of every hub: more than a hub asks for."""
    nodes = [await around.enter_async_context(open_node()) for _ in range(MANY)]
    for node in nodes:
        for hub in hubs:
            await meet(node, hub)
    return nodes


async def until_in_mesh(a: Node, b: Node) -> None:
    with trio.fail_after(20):
        while not (b.host.peer_id in a.topic.mesh_peers and a.host.peer_id in b.topic.mesh_peers):  # noqa: ASYNC110
            await trio.sleep(0.05)


@pytest.mark.parametrize("named_by", ["the one that dials", "the one that is dialled", "both"])
@pytest.mark.usefixtures("without_gossip")
async def test_a_direct_peer_is_in_a_mesh_that_is_full(named_by: str) -> None:
    key = new_key()
    async with AsyncExitStack() as around:
        async with open_host(HostConfig(key, (TCP,))) as once:
            (where,) = once.addresses  # a port that is free a moment later
        dialler = await around.enter_async_context(
            open_node(direct_peers=() if named_by == "the one that is dialled" else [where])
        )
        named = () if named_by == "the one that dials" else (dialler.host.addresses[0],)
        dialled = await around.enter_async_context(
            open_node(key=key, listen=(where.split("/p2p/")[0],), direct_peers=named)
        )
        await crowd(around, dialler)
        await crowd(around, dialled)
        asker = await around.enter_async_context(open_node())
        await meet(asker, dialler)
        await until_in_mesh(dialler, dialled)
        asker.topic.publish(b"NEW-CID")
        assert (await dialled.hears(b"NEW-CID")).forwarder == dialler.host.peer_id


async def test_others_are_not_asked_into_a_mesh_that_is_full() -> None:
    """The test above could not fail otherwise."""
    async with AsyncExitStack() as around:
        a, b = [await around.enter_async_context(open_node()) for _ in range(2)]
        await crowd(around, a)
        await crowd(around, b)
        await a.host.connect(b.host.addresses[0], deadline=20)
        with trio.fail_after(20):
            while not a.topic.has_subscriber(b.host.peer_id):  # noqa: ASYNC110
                await trio.sleep(0.05)
        await trio.sleep(2.5)  # two heartbeats
        assert b.host.peer_id not in a.topic.mesh_peers


async def test_all_may_be_given_the_same_list() -> None:
    key = new_key()
    async with open_host(HostConfig(key, (TCP,))) as once:
        (ourselves,) = once.addresses
    async with open_node() as other, open_node(key=key, direct_peers=[ourselves, other.host.addresses[0]]) as node:
        await until_in_mesh(node, other)
        assert node.host.direct == {other.host.peer_id}


async def test_direct_peers_do_not_take_the_room_in_which_others_are_looked_for() -> None:
    async with open_node() as direct, open_node() as other:
        named = (direct.host.addresses[0],)
        config = HostConfig(new_key(), (TCP,), max_connections=2, kept_for_dialling=1, direct_peers=named)
        async with open_host(config) as host:
            with trio.fail_after(20):
                while not host.is_connected(direct.host.peer_id):
                    await host.changed()
            assert not host.half_full
            await host.connect(other.host.addresses[0], deadline=10)
            assert host.half_full


def test_a_direct_peer_has_more_and_is_not_sent_away_for_flooding() -> None:
    sent_away: list[bytes] = []
    guard = FloodGuard(
        GossipLimits(messages_per_peer_per_second=10),
        lambda peer, reason: sent_away.append(peer),
        frozenset({b"direct"}),
    )

    def taken(origin: bytes, forwarder: bytes) -> bool:
        admitted = guard.admit(origin, forwarder, 100, 0.0)
        if admitted:
            guard.signed(origin, 0.0)
        return admitted

    assert sum(taken(b"direct", b"direct") for _ in range(50_000)) == 10 * flood.TRUSTED_TIMES * BURST_SECONDS
    assert sent_away == []


def test_a_direct_peer_that_was_taken_over_leaves_half_for_the_others_and_forges_in_vain() -> None:
    sent_away: list[bytes] = []
    limits = GossipLimits(messages_per_second=1_000)
    guard = FloodGuard(limits, lambda peer, reason: sent_away.append(peer), frozenset({b"direct"}))
    total = limits.messages_per_second * BURST_SECONDS
    by_it = sum(guard.admit(b"made up %d" % n, b"direct", 100, 0.0) for n in range(20_000))
    assert by_it == total * flood.TRUSTED_SHARE
    assert guard.admit(b"honest", b"honest", 100, 0.0)
    for _ in range(flood.MOST_FORGED):
        guard.forged(b"direct", 0.0)
    assert sent_away == [b"direct"]
