"""The IDONTWANT cure: a burst of small messages is not halved by as many control messages."""

from __future__ import annotations

import trio

from tests.adapters.p2p.cure_rig import MENDED, Ear, bare_host, bare_pubsub, connect, know_each_other, outcome, play

TOPIC = "t"
SAID = 24  # the library's outgoing queue takes 32, its subscription's queue too


async def burst() -> str:
    async with (
        bare_host() as a,
        bare_host() as b,
        bare_pubsub(a) as at_a,
        bare_pubsub(b) as at_b,
        trio.open_nursery() as nursery,
    ):
        ear = Ear()
        nursery.start_soon(ear.listen, await at_b.subscribe(TOPIC))
        await at_a.subscribe(TOPIC)
        await connect(a, b)
        await know_each_other(TOPIC, at_a, at_b)
        await at_a.router.wait_for_mesh(b.get_id(), TOPIC)  # type: ignore[attr-defined]  # GossipSub has it
        for number in range(SAID):
            await at_a.publish(TOPIC, str(number).encode())
        await ear.hears(str(SAID - 1).encode(), seconds=3)
        nursery.cancel_scope.cancel()
    return "all" if len(ear.heard) == SAID else "some"


def test_all_of_a_burst_arrive() -> None:
    assert outcome(burst, stock=False) == "all"


def test_the_stock_library_loses_some() -> None:
    assert outcome(burst, stock=True) == "some"


if __name__ == "__main__":
    play(globals(), gossip=MENDED)
