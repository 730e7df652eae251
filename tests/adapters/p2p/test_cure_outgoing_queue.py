"""The outgoing queue's cure: a peer that stands still for a while hears all that was said meanwhile.

`tests/interop/test_p2p_helia.py` does it with js-libp2p, stopped by a signal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.bounds.outgoing_queue import Lane
from pinning_worker.adapters.p2p.cures.gossip import outgoing_queue
from pinning_worker.adapters.p2p.cures.gossip.outgoing_queue import LibraryQueue
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
            mended = isinstance(at_a.peer_queues[b.get_id()]._queue, LibraryQueue)
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


def rpc(text: bytes) -> rpc_pb2.RPC:
    return rpc_pb2.RPC(publish=[rpc_pb2.Message(data=text)])


async def test_each_rpc_takes_its_lane() -> None:
    queue, control = outgoing_queue.LibraryQueue(), rpc_pb2.ControlMessage
    for each, priority in (
        (rpc(b"theirs"), False),
        (rpc(b"ours"), Lane.OURS),
        (rpc_pb2.RPC(control=control(iwant=[rpc_pb2.ControlIWant()])), True),
        (rpc_pb2.RPC(control=control(graft=[rpc_pb2.ControlGraft()])), True),
        (rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=TOPIC)]), False),
    ):
        assert queue.push(each, priority)
    assert queue.lanes.lengths() == {Lane.MESH: 2, Lane.GOSSIP: 1, Lane.OURS: 1, Lane.OTHERS: 1}


async def test_the_router_tells_ours_from_those_of_others() -> None:
    async with open_node() as a, open_node() as b:
        await meet(a, b)
        peer, others = b.host.raw.get_id(), rpc(b"theirs")
        others.publish[0].from_id = peer.to_bytes()
        ours = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=b"ours", from_id=a.host.raw.get_id().to_bytes())])
        queue, router = a.pubsub._raw.peer_queues[peer]._queue, a.pubsub._raw.router
        assert isinstance(queue, LibraryQueue)
        assert isinstance(router, Router)
        before = queue.lanes.lengths()
        for each in (ours, others, others):  # without a turn for who sends
            router.send_rpc(peer, each)
        after = queue.lanes.lengths()
        assert (after[Lane.OURS] - before[Lane.OURS], after[Lane.OTHERS] - before[Lane.OTHERS]) == (1, 2)


if __name__ == "__main__":
    play(globals(), outgoing_queue)
