"""The one writer's cure: who joins while large messages are about gets each of them whole, and who slept is told again.

`tests/interop/test_p2p_helia.py` does it with js-libp2p.
"""

from __future__ import annotations

from typing import Any, cast

import trio
import trio.testing
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub

from pinning_worker.adapters.p2p.cures import mend_all
from pinning_worker.adapters.p2p.cures.gossip import one_writer, reconnect
from pinning_worker.adapters.p2p.cures.process import crash
from pinning_worker.adapters.p2p.cures.streams import slow_readers
from tests.adapters.p2p.cure_rig import bare_host, bare_pubsub, brought_about, connect, outcome, play, until
from tests.adapters.p2p.test_cure_outgoing_queue import Line

TOPIC = "t"
LARGE = 150_000  # more than a frame of the muxer holds


def ear(pubsub: Pubsub) -> list[bytes]:
    heard: list[bytes] = []

    def take(_forwarder: ID, message: rpc_pb2.Message) -> bool:
        heard.append(message.data)
        return True

    pubsub.set_topic_validator(TOPIC, take, is_async_validator=False)
    return heard


async def in_its_mesh(pubsub: Pubsub, peer: ID) -> bool:
    return await until(lambda: peer in mesh_of(pubsub))


def mesh_of(pubsub: Pubsub) -> set[ID]:
    return cast("GossipSub", pubsub.router).mesh[TOPIC]


async def joins_while_large_messages_are_about() -> str:
    crash.mend()  # on either library: what is read from a frame in two halves may be anything
    # Eight of each, and an IDONTWANT with each of the second: fewer than the 32 that the library's queue holds.
    before, after = ([b"%d" % number + bytes(LARGE) for number in numbers] for numbers in (range(8), range(8, 16)))
    async with bare_host() as a, bare_host() as b, bare_pubsub(a) as at_a, bare_pubsub(b) as at_b:
        heard = ear(at_b)
        await at_a.subscribe(TOPIC)
        await at_b.subscribe(TOPIC)
        for data in before:
            await at_a.publish(TOPIC, data)
        await connect(b, a)
        await brought_about(lambda: b.get_id() in mesh_of(at_a), seconds=10)
        for data in after:
            await at_a.publish(TOPIC, data)
        await until(lambda: {*before, *after} <= {*heard}, seconds=5)
        return "all, whole" if {*before, *after} == {*heard} else "some"


def test_all_messages_come_whole() -> None:
    assert outcome(joins_while_large_messages_are_about, stock=False) == "all, whole"


def test_of_the_stock_library_some() -> None:
    assert outcome(joins_while_large_messages_are_about, stock=True) == "some"


async def sleeps_longer_than_a_write_waits() -> str:
    reconnect.mend()  # on either library: it keeps a peer whose stream has failed
    slow_readers.mend()
    slow_readers.PATIENCE_SECONDS = 0.5
    async with bare_host() as a, bare_host() as b, bare_pubsub(a) as at_a, bare_pubsub(b) as at_b:
        heard = ear(at_b)
        await at_a.subscribe(TOPIC)
        await at_b.subscribe(TOPIC)
        line = Line(b.get_addrs()[0])
        async with line.opened() as address:
            await a.connect(info_from_p2p_addr(address))
            assert await in_its_mesh(at_a, b.get_id())
            stream: Any = at_a.peers[b.get_id()]
            line.moves = trio.Event()
            stream.muxed_stream.send_window = 10_000  # the library begins with 16 MiB, others with 256 KiB
            for number in range(10):
                await at_a.publish(TOPIC, b"%d" % number + bytes(3_000))
            await until(lambda: stream.muxed_stream.closed, seconds=3)
            line.moves.set()
            return "told again" if await tells_again(at_a, heard) else "deaf"


async def tells_again(pubsub: Pubsub, heard: list[bytes]) -> bool:
    for number in range(60):
        await pubsub.publish(TOPIC, b"again %d" % number)
        if await brought_about(lambda: any(words.startswith(b"again") for words in heard), seconds=0.1):
            return True
    return False


def test_who_slept_is_told_again() -> None:
    assert outcome(sleeps_longer_than_a_write_waits, stock=False) == "told again"


def test_otherwise_it_is_never_told_anything() -> None:
    assert outcome(sleeps_longer_than_a_write_waits, stock=True) == "deaf"


async def a_fault_where_a_write_has_failed() -> str:
    """With all cures, as a host has them: the loop that this one puts in is guarded like the library's."""
    mend_all()
    async with (
        bare_host() as a,
        bare_host() as b,
        bare_pubsub(a) as at_a,
        bare_pubsub(b) as at_b,
    ):
        await at_a.subscribe(TOPIC)
        await at_b.subscribe(TOPIC)
        await connect(b, a)
        assert await in_its_mesh(at_a, b.get_id())
        met = trio.Event()

        def fault(_peer: ID) -> None:
            del at_a.__dict__["_handle_dead_peer"]
            met.set()
            raise RuntimeError

        at_a.__dict__["_handle_dead_peer"] = fault
        await at_a.peers[b.get_id()].reset()
        await at_a.publish(TOPIC, b"to one who is gone")
        await met.wait()
        await trio.testing.wait_all_tasks_blocked(0.1)
        return f"goes on: {at_a.manager.is_running}"


def test_a_fault_there_ends_nothing_else() -> None:
    said = outcome(a_fault_where_a_write_has_failed, stock=True)  # it applies all cures itself, in their order
    assert said == "goes on: True"


if __name__ == "__main__":
    play(globals(), one_writer)
