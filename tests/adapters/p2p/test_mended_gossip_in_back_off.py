"""The cure for silence after a PRUNE: who is not in the mesh, and may not be asked into it now, hears by gossip."""

from __future__ import annotations

import trio
from libp2p.pubsub.gossipsub import GossipSub

from tests.adapters.p2p.cure_rig import MENDED, Ear, bare_host, bare_pubsub, connect, know_each_other, outcome, play

TOPIC = "t"
NO_MESH = {"degree": 0, "degree_low": 0}


async def pruned() -> str:
    ear = Ear()
    async with (
        bare_host() as a,
        bare_host() as b,
        bare_pubsub(a, **NO_MESH) as here,
        bare_pubsub(b, **NO_MESH) as there,
        trio.open_nursery() as nursery,
    ):
        await here.subscribe(TOPIC)
        nursery.start_soon(ear.listen, await there.subscribe(TOPIC))
        await connect(a, b)
        await know_each_other(TOPIC, here, there)
        assert isinstance(here.router, GossipSub)
        here.router._add_back_off(there.my_id, TOPIC, False)
        await here.publish(TOPIC, b"hello")
        heard = await ear.is_brought(b"hello", seconds=10)
        nursery.cancel_scope.cancel()
    return "heard" if heard else "not heard"


def test_who_pruned_us_hears_by_gossip() -> None:
    assert outcome(pruned, stock=False) == "heard"


def test_on_the_stock_library_it_is_deaf() -> None:
    assert outcome(pruned, stock=True) == "not heard"


if __name__ == "__main__":
    play(globals(), gossip=MENDED)
