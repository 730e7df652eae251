"""The reconnect cure: a peer that came back before its old connection was gone hears us, and is heard.

Here both ends are py-libp2p and only their cure is looked at; `tests/interop/test_p2p_helia.py` does it with js-libp2p.
"""

from __future__ import annotations

from typing import cast

import trio
from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from libp2p.pubsub.pubsub import Pubsub

from pinning_worker.adapters.p2p.cures.gossip import reconnect
from pinning_worker.adapters.p2p.cures.process import crash
from tests.adapters.p2p.cure_rig import Ear, bare_host, bare_pubsub, connect, know_each_other, outcome, play, until

TOPIC = "t"


async def second_connection_then_the_first_dies() -> str:
    async with (
        bare_host() as a,
        bare_host() as b,
        bare_pubsub(a) as at_a,
        bare_pubsub(b) as at_b,
        trio.open_nursery() as nursery,
    ):
        ears = Ear(), Ear()
        for ear, gossip in zip(ears, (at_a, at_b), strict=True):
            nursery.start_soon(ear.listen, await gossip.subscribe(TOPIC))
        await connect(b, a)
        await know_each_other(TOPIC, at_a, at_b)
        await come_back(b, a)
        mesh_kept = b.get_id() in at_a.router.mesh[TOPIC]
        said = f"a hears b: {await heard(at_b, ears[0])}, b hears a: {await heard(at_a, ears[1])}, mesh {mesh_kept}"
        nursery.cancel_scope.cancel()
    return said


async def come_back(b: BasicHost, a: BasicHost) -> None:
    """b opens a second connection to a, then its first one ends; returns when a knows."""
    swarm_a, swarm_b = a.get_network(), b.get_network()
    assert isinstance(swarm_a, Swarm)
    assert isinstance(swarm_b, Swarm)
    (first,) = swarm_b.connections[a.get_id()]
    await swarm_b.dial_addr(a.get_transport_addrs()[0], a.get_id())
    assert await until(lambda: len(swarm_a.connections[b.get_id()]) == 2)
    await first.close()
    assert await until(lambda: len(swarm_a.connections[b.get_id()]) == 1)


async def heard(speaker: Pubsub, ear: Ear) -> bool:
    """Said every 50 ms until one is heard: what is said while a connection dies may be lost, later nothing may be."""
    name = str(speaker.my_id).encode()
    for number in range(40):
        await speaker.publish(TOPIC, name + b" %d" % number)
        if await until(lambda: any(words.startswith(name) for words in ear.heard), seconds=0.05):
            return True
    return False


async def our_first_stream_dies_before_a_word_is_said() -> str:
    """b speaks to a, and resets the first stream that a opens only after that: then nobody begins anew but a."""
    async with bare_host() as a, bare_host() as b, bare_pubsub(a) as at_a, bare_pubsub(b) as at_b:
        await at_a.subscribe(TOPIC)
        await at_b.subscribe(TOPIC)
        swarm = cast("Swarm", b.get_network())
        take, spoken = swarm.common_stream_handler, trio.Event()

        async def refuse_until_it_was_spoken_to(stream: INetStream) -> None:
            if spoken.is_set():
                return await take(stream)
            await until(lambda: b.get_id() in at_a.peer_topics.get(TOPIC, ()))
            spoken.set()
            await stream.reset()

        swarm.set_stream_handler(refuse_until_it_was_spoken_to)
        await connect(b, a)
        return f"a speaks: {await until(lambda: a.get_id() in at_b.peer_topics.get(TOPIC, ()))}"


def test_a_stream_that_died_at_once_is_opened_again() -> None:
    assert outcome(our_first_stream_dies_before_a_word_is_said, stock=False) == "a speaks: True"


async def says_what_is_no_frame() -> str:
    """The record of where a peer speaks goes with the stream, however it ends; and both speak again."""
    crash.mend()  # on either library
    async with bare_host() as a, bare_pubsub(a) as at_a:
        await at_a.subscribe(TOPIC)
        async with bare_host() as b, bare_pubsub(b) as at_b:
            await at_b.subscribe(TOPIC)
            await connect(b, a)
            await know_each_other(TOPIC, at_a, at_b)
            spoken_on = reconnect._of(at_a).speaks_on[b.get_id()]
            await at_b.peers[a.get_id()].write(b"\x06" + b"\xff" * 6)
            assert await until(lambda: reconnect._of(at_a).speaks_on.get(b.get_id()) is not spoken_on)
            told = await until(lambda: reconnect._of(at_a).speaks_on.get(b.get_id()) is not None, seconds=20)
        forgotten = await until(lambda: not reconnect._of(at_a).speaks_on)
    return f"speaks again: {told}, forgotten in the end: {forgotten}"


def test_what_is_no_frame_ends_a_stream_and_not_the_talk() -> None:
    assert outcome(says_what_is_no_frame, stock=False) == "speaks again: True, forgotten in the end: True"


def test_both_hear_each_other_again() -> None:
    assert outcome(second_connection_then_the_first_dies, stock=False) == "a hears b: True, b hears a: True, mesh True"


def test_on_the_stock_library_they_stay_deaf() -> None:
    said = outcome(second_connection_then_the_first_dies, stock=True)
    assert "hears b: False" in said or "hears a: False" in said


if __name__ == "__main__":
    play(globals(), reconnect)
