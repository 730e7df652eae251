"""The message-number cure: what a restarted node says is heard at once."""

from __future__ import annotations

import time

import trio
from libp2p.crypto.ed25519 import create_new_key_pair

from tests.adapters.p2p.cure_rig import MENDED, Ear, bare_host, bare_pubsub, connect, know_each_other, outcome, play

TOPIC = "t"
BEFORE = 100  # more messages than seconds pass until the restart


async def restart() -> str:
    key = create_new_key_pair()
    async with bare_host() as listener, bare_pubsub(listener) as gossip, trio.open_nursery() as nursery:
        ear = Ear()
        nursery.start_soon(ear.listen, await gossip.subscribe(TOPIC))
        for word, times in (("before", BEFORE), ("after", 1)):
            async with bare_host(key=key) as speaker, bare_pubsub(speaker) as voice:
                await voice.subscribe(TOPIC)
                await connect(speaker, listener)
                await know_each_other(TOPIC, voice, gossip)
                for number in range(times):
                    await voice.publish(TOPIC, f"{word} {number}".encode())
                    assert word == "after" or await ear.hears(f"{word} {number}".encode())
                heard = await ear.hears(f"{word} {times - 1}".encode(), seconds=3)
        nursery.cancel_scope.cancel()
    return "heard after the restart" if heard else "not heard after the restart"


def test_a_restarted_node_is_heard() -> None:
    assert outcome(restart, stock=False) == "heard after the restart"


def test_on_the_stock_library_it_is_not() -> None:
    assert outcome(restart, stock=True) == "not heard after the restart"


async def clock_put_right() -> str:
    """It was an hour behind when the node began."""
    real, behind = time.time_ns, 3_600 * 10**9
    time.time_ns = lambda: real() - behind  # the library's own count begins at time.time()
    async with bare_host() as speaker, bare_pubsub(speaker) as voice:
        first = int.from_bytes(voice._next_seqno(), "big")
        time.time_ns = real
        now, second, third = real(), *(int.from_bytes(voice._next_seqno(), "big") for _ in range(2))
        time.time_ns = lambda: real() - behind
        fourth = int.from_bytes(voice._next_seqno(), "big")
    rises = first < second < third < fourth
    return f"rises: {rises}, follows the clock: {first < now <= second}"


def test_numbers_rise_and_follow_the_clock() -> None:
    assert outcome(clock_put_right, stock=False) == "rises: True, follows the clock: True"


def test_those_of_the_stock_library_do_not_follow_it() -> None:
    assert outcome(clock_put_right, stock=True) == "rises: True, follows the clock: False"


if __name__ == "__main__":
    play(globals(), gossip=MENDED)
