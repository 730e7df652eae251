"""The flood-publishing cure: what we say goes to every subscriber, in our mesh or not; what we forward does not."""

from __future__ import annotations

from contextlib import AsyncExitStack

import trio

from tests.adapters.p2p.cure_rig import (
    MENDED,
    Ear,
    bare_host,
    bare_pubsub,
    connect,
    know_each_other,
    outcome,
    play,
    until,
)

TOPIC = "t"
LEAVES = 4
NO_GOSSIP = {"heartbeat_interval": 3600, "heartbeat_initial_delay": 3600}


async def star() -> str:
    """A hub with a mesh of one, and leaves that ask nobody into theirs. How many hear the hub, and one of them?"""
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        hub = await stack.enter_async_context(bare_host())
        gossip = await stack.enter_async_context(bare_pubsub(hub, degree=1, degree_low=1, **NO_GOSSIP))
        await gossip.subscribe(TOPIC)
        ears, leaves = [Ear() for _ in range(LEAVES)], []
        for ear in ears:
            host = await stack.enter_async_context(bare_host())
            leaf = await stack.enter_async_context(bare_pubsub(host, degree=0, degree_low=0, **NO_GOSSIP))
            nursery.start_soon(ear.listen, await leaf.subscribe(TOPIC))
            await connect(host, hub)
            leaves.append(leaf)
        await know_each_other(TOPIC, gossip, *leaves)
        await gossip.publish(TOPIC, b"ours")
        await until(lambda: _how_many(ears, b"ours") == LEAVES, seconds=3)
        ours = _how_many(ears, b"ours")
        (in_mesh,) = gossip.router.mesh[TOPIC]
        speaker = next(leaf for leaf in leaves if leaf.my_id != in_mesh)
        speaker.router.mesh[TOPIC].add(gossip.my_id)
        await speaker.publish(TOPIC, b"theirs")
        await until(lambda: _how_many(ears, b"theirs") > 2, seconds=3)
        theirs = _how_many(ears, b"theirs")
        nursery.cancel_scope.cancel()
    return f"hub's own: {ours}, forwarded: {theirs - 1}"  # the speaker hears itself


def _how_many(ears: list[Ear], data: bytes) -> int:
    return sum(data in ear.heard for ear in ears)


def test_every_subscriber_hears_the_hub() -> None:
    assert outcome(star, stock=False) == f"hub's own: {LEAVES}, forwarded: 1"


def test_on_the_stock_library_only_the_mesh_does() -> None:
    assert outcome(star, stock=True) == "hub's own: 1, forwarded: 1"


if __name__ == "__main__":
    play(globals(), gossip=MENDED)
