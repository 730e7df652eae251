"""The message-number cure: what a restarted node says is heard at once."""

from __future__ import annotations

import trio
from libp2p.crypto.ed25519 import create_new_key_pair

from pinning_worker.adapters.p2p.cures import message_numbers
from tests.adapters.p2p.cure_rig import Ear, bare_host, bare_pubsub, connect, know_each_other, outcome, play

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


if __name__ == "__main__":
    play(globals(), message_numbers)
