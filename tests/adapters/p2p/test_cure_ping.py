"""The ping cure: a peer that takes nothing keeps nobody else's ping waiting, and who has left is not remembered."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.host.ping import ID as PING
from libp2p.host.ping import PingService

from pinning_worker.adapters.p2p.cures.identify import ping
from tests.adapters.p2p.cure_rig import bare_host, brought_about, connect, outcome, play, until

STREAMS = 3  # the library lets each peer have two
PATIENCE = 15


def service_of(host: BasicHost) -> PingService:
    handle: Any = host.get_mux().handlers[PING]
    return cast("PingService", handle.__self__)


async def pings(peer: BasicHost, other: BasicHost) -> bool:
    with trio.move_on_after(PATIENCE), suppress(trio.TooSlowError):  # the library has a patience of its own
        async for _ in PingService(peer).ping_iter(other.get_id()):
            return True
    return False


async def is_answered(peer: BasicHost, other: BasicHost) -> bool:
    """While the other one's places are taken."""
    answered = trio.Event()

    async def ping() -> None:
        if await pings(peer, other):
            answered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ping)
        await brought_about(answered.is_set, PATIENCE)
        nursery.cancel_scope.cancel()
    return answered.is_set()


async def three_of_one_that_takes_nothing() -> str:
    async with AsyncExitStack() as stack:
        host, stuck, honest = [await stack.enter_async_context(bare_host()) for _ in range(3)]
        service, came, takes_again = service_of(host), 0, trio.Event()

        async def handle(stream: INetStream) -> None:
            nonlocal came
            if stream.muxed_conn.peer_id == stuck.get_id():
                came += 1
                stream.reset = takes_again.wait  # type: ignore[method-assign]  # what is written there has to wait
            await service.handle_ping(stream)

        host.set_stream_handler(PING, handle)
        for peer in (stuck, honest):
            await connect(peer, host)
        before = await pings(honest, host)
        for _ in range(STREAMS):
            await stuck.new_stream(host.get_id(), [PING])
        await until(lambda: came == STREAMS, seconds=20)
        after = await is_answered(honest, host)
        takes_again.set()
        stack.push_async_callback(host.close)
        return f"before: {before}, after: {after}"


async def one_that_pings_and_leaves() -> str:
    async with bare_host() as host:
        async with bare_host() as peer:
            await connect(peer, host)
            answered = await pings(peer, host)
        gone = await until(lambda: not host.get_connected_peers())
        left = len(service_of(host)._inbound_streams)
        return f"answered: {answered}, gone: {gone}, remembered: {left}"


def test_the_others_are_answered() -> None:
    assert outcome(three_of_one_that_takes_nothing, stock=False) == "before: True, after: True"


def test_by_the_stock_library_they_are_not() -> None:
    assert outcome(three_of_one_that_takes_nothing, stock=True) == "before: True, after: False"


def test_who_left_is_forgotten() -> None:
    assert outcome(one_that_pings_and_leaves, stock=False) == "answered: True, gone: True, remembered: 0"


def test_the_stock_library_remembers_it() -> None:
    assert outcome(one_that_pings_and_leaves, stock=True) == "answered: True, gone: True, remembered: 1"


if __name__ == "__main__":
    play(globals(), ping)
