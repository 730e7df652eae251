"""The publish-limit cure: our own messages are not cut to ten a second; those that a peer has us forward are."""

from __future__ import annotations

import trio
from libp2p.pubsub.pubsub import Pubsub

from tests.adapters.p2p.cure_rig import MENDED, Ear, bare_host, bare_pubsub, connect, know_each_other, outcome, play

TOPIC = "t"
SAID = 40
TEN_A_SECOND = {"max_messages_per_topic_per_second": 10.0}


async def many_at_once() -> str:
    """a – hub – b in a row. How many of the hub's own messages reach b, and how many of a's through the hub?"""
    async with (
        bare_host() as a,
        bare_host() as hub,
        bare_host() as b,
        bare_pubsub(a) as at_a,
        bare_pubsub(hub, **TEN_A_SECOND) as at_hub,
        bare_pubsub(b) as at_b,
        trio.open_nursery() as nursery,
    ):
        ear = Ear()
        nursery.start_soon(ear.listen, await at_b.subscribe(TOPIC))
        await at_a.subscribe(TOPIC)
        await at_hub.subscribe(TOPIC)
        await connect(a, hub)
        await connect(b, hub)
        await know_each_other(TOPIC, at_hub, at_a, at_b)
        await say(at_hub, "own")
        await say(at_a, "forwarded")
        await ear.hears(f"forwarded {SAID - 1}".encode(), seconds=2)
        own, forwarded = (sum(word in heard for heard in ear.heard) for word in (b"own", b"forwarded"))
        nursery.cancel_scope.cancel()
    return f"own: {how_many(own)}, forwarded: {how_many(forwarded)}"


def how_many(heard: int) -> str:
    """On a busy machine more than one second passes while they are said, and more than ten get through."""
    return "all" if heard == SAID else "some" if heard else "none"


async def say(gossip: Pubsub, word: str) -> None:
    for number in range(SAID):
        await gossip.publish(TOPIC, f"{word} {number}".encode())
        await trio.sleep(0.005)  # or the outgoing queue overflows, which is another cure's matter


def test_ours_all_arrive_and_theirs_are_limited() -> None:
    assert outcome(many_at_once, stock=False) == "own: all, forwarded: some"


def test_the_stock_library_cuts_off_ours_too() -> None:
    assert outcome(many_at_once, stock=True) == "own: some, forwarded: some"


if __name__ == "__main__":
    play(globals(), gossip=MENDED)
