"""The outgoing queue's cure: who stands still for a while hears all that was said meanwhile; what that may cost us.

`tests/interop/test_p2p_helia.py` does it with js-libp2p, stopped by a signal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from multiaddr import Multiaddr
from trio.testing import MockClock

from pinning_worker.adapters.p2p.cures.gossip import outgoing_queue
from pinning_worker.adapters.p2p.cures.gossip.outgoing_queue import (
    LANES,
    MIB,
    MOST_OF_ALL,
    PER_MESSAGE,
    PER_PLACE,
    STUCK_SECONDS,
    Lane,
    OutgoingQueue,
)
from pinning_worker.adapters.p2p.cures.streams import slow_readers
from pinning_worker.adapters.p2p.gossip.router import Router
from tests.adapters.p2p.cure_rig import bare_host, bare_pubsub, know_each_other, outcome, play
from tests.adapters.p2p.gossips import meet, open_node

TOPIC = "t"
SAID = 400
PAD = b"x" * 1500  # so many of them are twice what the muxer lets pass while nobody reads


class Line:
    """A TCP forwarder to `target` that carries nothing while it stands still; nothing is lost by it."""

    def __init__(self, target: Multiaddr) -> None:
        self.moves = trio.Event()
        self.moves.set()
        self._target = str(target).split("/")

    async def forward(self, near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream(self._target[2], int(self._target[4]))
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, near, far)
            nursery.start_soon(self._carry, far, near)

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            async for data in source:
                await self.moves.wait()
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # an end is gone: the test is over

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Multiaddr]:
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, self.forward, 0, host="127.0.0.1"))
            *_, peer = self._target
            yield Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}/p2p/{peer}")
            nursery.cancel_scope.cancel()


async def said_to_one_who_stands_still() -> str:
    slow_readers.mend()  # on either library: how long a write may take is that cure's
    heard: list[bytes] = []

    def take(_forwarder: ID, message: rpc_pb2.Message) -> bool:
        heard.append(message.data)
        return True

    async with (
        bare_host() as a,
        bare_host() as b,
        bare_pubsub(a) as at_a,
        bare_pubsub(b) as at_b,
    ):
        at_b.set_topic_validator(TOPIC, take, is_async_validator=False)  # a subscription would hold 32
        await at_b.subscribe(TOPIC)
        await at_a.subscribe(TOPIC)
        line = Line(b.get_addrs()[0])
        async with line.opened() as address:
            await a.connect(info_from_p2p_addr(address))
            await know_each_other(TOPIC, at_a, at_b)
            line.moves = trio.Event()
            said = [b"%d" % number + PAD for number in range(SAID)]
            for number, data in enumerate(said):
                await at_a.publish(TOPIC, data)
                if number % 8 == 0:
                    await trio.sleep(0.001)  # a burst alone would be too much for the library
            line.moves.set()
            mended = isinstance(at_a.peer_queues[b.get_id()]._queue, OutgoingQueue)
            await _as_long_as_something_comes(heard, said[-1], seconds=20 if mended else 2)
            return "all, in order" if heard == said else "some"


async def _as_long_as_something_comes(heard: list[bytes], last: bytes, *, seconds: float) -> None:
    """A busy machine takes half a minute over them all. That is slow, and nothing lost."""
    known = -1
    while last not in heard and len(heard) > known:
        known = len(heard)
        with trio.move_on_after(seconds):
            while len(heard) == known:  # noqa: ASYNC110  the library calls `take`, and tells nobody else
                await trio.sleep(0.01)


def test_all_is_heard_afterwards() -> None:
    assert outcome(said_to_one_who_stands_still, stock=False) == "all, in order"


def test_of_the_stock_library_some() -> None:
    assert outcome(said_to_one_who_stands_still, stock=True) == "some"


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> outgoing_queue._All:
    """What all queues hold, without those of hosts of other tests in this process."""
    fresh = outgoing_queue._All()
    monkeypatch.setattr(outgoing_queue, "_all", fresh)
    return fresh


def rpc(text: bytes) -> rpc_pb2.RPC:
    return rpc_pb2.RPC(publish=[rpc_pb2.Message(data=text)])


def say(queue: OutgoingQueue, *texts: bytes, ours: bool = True) -> list[bool]:
    return [queue.push(rpc(text), Lane.OURS if ours else False) for text in texts]


def all_of(queue: OutgoingQueue) -> list[bytes]:
    """What is in it, in the order in which it leaves."""
    texts: list[bytes] = []
    while (waiting := queue.pop()) is not None:
        message = rpc_pb2.RPC.FromString(waiting.wire)
        texts.append(message.publish[0].data if message.publish else b"control")
    return texts


def numbered(count: int, size: int = 0) -> list[bytes]:
    return [b"%d " % number + bytes(size) for number in range(count)]


async def test_messages_leave_in_their_order_whoever_said_them_and_control_before_them() -> None:
    queue = OutgoingQueue()
    say(queue, b"1")
    say(queue, b"2", ours=False)
    say(queue, b"3")
    queue.push(rpc_pb2.RPC(control=rpc_pb2.ControlMessage(iwant=[rpc_pb2.ControlIWant()])), True)
    assert len(queue) == 4
    assert all_of(queue) == [b"control", b"1", b"2", b"3"]
    assert not len(queue)


async def test_ours_are_kept_and_refused_when_they_are_too_many_and_those_of_others_lose_their_oldest() -> None:
    queue = OutgoingQueue()
    theirs = numbered(LANES[Lane.OTHERS].messages + 10)
    assert all(say(queue, *theirs, ours=False))
    ours = numbered(LANES[Lane.OURS].bytes // MIB * 8 + 1, MIB // 8)
    taken = sum(say(queue, *ours))
    assert 0 < taken < len(ours)
    assert all_of(queue) == theirs[10:] + ours[:taken]


async def test_the_router_tells_ours_from_those_of_others() -> None:
    async with open_node() as a, open_node() as b:
        await meet(a, b)
        peer, others = b.host.raw.get_id(), rpc(b"theirs")
        others.publish[0].from_id = peer.to_bytes()
        ours = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=b"ours", from_id=a.host.raw.get_id().to_bytes())])
        queue, router = a.pubsub._raw.peer_queues[peer]._queue, a.pubsub._raw.router
        assert isinstance(queue, OutgoingQueue)
        assert isinstance(router, Router)
        before = queue.lengths()
        for each in (ours, others, others):  # without a turn for who sends
            router.send_rpc(peer, each)
        after = queue.lengths()
        assert (after[Lane.OURS] - before[Lane.OURS], after[Lane.OTHERS] - before[Lane.OTHERS]) == (1, 2)


async def test_the_largest_message_fits_when_nothing_waits() -> None:
    queue = OutgoingQueue()
    assert say(queue, bytes(MIB), ours=False) == [True]
    assert say(queue, bytes(MIB), ours=False) == [True]
    assert len(queue) == 1


async def test_mesh_control_is_refused_when_there_is_too_much_of_it_so_that_the_library_tries_again() -> None:
    queue, graft = OutgoingQueue(), rpc_pb2.RPC(control=rpc_pb2.ControlMessage(graft=[rpc_pb2.ControlGraft()]))
    most = LANES[Lane.MESH].messages
    assert [queue.push(graft, True) for _ in range(most + 1)] == [True] * most + [False]


async def test_what_is_said_to_a_thousand_who_take_nothing_is_kept_once(everything: outgoing_queue._All) -> None:
    queues = [OutgoingQueue() for _ in range(1_000)]
    for text in numbered(100, 1_000):
        for queue in queues:
            assert say(queue, text) == [True]
    assert everything.bytes < 100 * (1_100 + PER_MESSAGE + 1_000 * PER_PLACE)
    for queue in queues:
        queue.clear()
    assert (everything.bytes, len(everything.moved)) == (0, 0)


async def test_a_thousand_who_take_nothing_hold_no_more_than_all_may(everything: outgoing_queue._All) -> None:
    """Each has something else to hear. Who takes what he is told loses nothing."""
    honest, stuck = OutgoingQueue(), [OutgoingQueue() for _ in range(1_000)]
    heard = []
    for number, queue in enumerate(stuck):
        say(honest, b"%d" % number)
        say(queue, b"the first %d" % number, bytes(100_000) + b"%d" % number)
        assert everything.bytes <= MOST_OF_ALL
        heard += all_of(honest)
    assert heard == [b"%d" % number for number in range(1_000)]
    assert not len(stuck[0]), "who is stuck for longest loses first"
    assert len(stuck[-1]) == 2


async def test_who_is_stuck_for_long_loses_what_waits_for_him_and_is_told_what_comes_after(
    everything: outgoing_queue._All, autojump_clock: MockClock
) -> None:
    stuck, slow, other = OutgoingQueue(), OutgoingQueue(), OutgoingQueue()
    say(stuck, b"old")
    say(slow, *numbered(10))
    for _ in range(4):
        await trio.sleep(STUCK_SECONDS / 3)
        slow.pop()
        say(other, b"something")
    assert (len(stuck), len(slow)) == (0, 6)
    say(stuck, b"new")
    assert all_of(stuck) == [b"new"]
    assert everything.bytes


if __name__ == "__main__":
    play(globals(), outgoing_queue)
