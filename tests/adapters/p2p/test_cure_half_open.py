"""The half-open cure: those who dial and then stop are closed, and while they are there others get in."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from unittest.mock import patch

import trio

from pinning_worker.adapters.p2p.bounds.defaults import MAX_HALF_OPEN
from pinning_worker.adapters.p2p.bounds.door import Door, DoorRules
from pinning_worker.adapters.p2p.cures.connections import deafness
from pinning_worker.adapters.p2p.cures.ports import first_bytes, half_open
from tests.adapters.p2p.cure_rig import TCP, bare_host, brought_about, connect, outcome, play, until

SILENT = 200
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def silent_sockets() -> str:
    """A quarter each: nothing, half a request, a websocket and no more, tcp and no more. Then one honest caller."""
    quick = partial(Door, DoorRules(handshake_time=timedelta(seconds=3)))
    with patch.object(half_open, "Door", quick):
        return await _silent_sockets()


async def _silent_sockets() -> str:
    async with bare_host(TCP, TCP + "/ws") as host, bare_host(TCP, TCP + "/ws") as honest, AsyncExitStack() as stack:
        port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
        nursery = await stack.enter_async_context(trio.open_nursery())
        open_ones: set[int] = set()
        for number in range(SILENT):
            stream = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
            open_ones.add(number)
            nursery.start_soon(_until_closed, stream, number, open_ones)
            with suppress(trio.BrokenResourceError):
                await stream.send_all((b"", b"GET ", WEBSOCKET, b"\x13/multistream/1.0.0\n")[number % 4])
        await until(lambda: len(open_ones) <= MAX_HALF_OPEN, seconds=3)
        held = len(open_ones)
        await connect(honest, host)
        await brought_about(lambda: not open_ones, seconds=8)
        left = len(open_ones)
        still = honest.get_id() in host.get_connected_peers()
        nursery.cancel_scope.cancel()
    few = held <= MAX_HALF_OPEN
    return f"few at a time: {few}, left in the end: {'none' if not left else 'some'}, the honest one: {still}"


async def _until_closed(stream: trio.SocketStream, number: int, open_ones: set[int]) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await stream.receive_some():
            pass
    open_ones.discard(number)


async def many_addresses() -> str:
    """An address that opens many loses its own: a slow but honest caller from another address is not pushed out."""
    async with bare_host("/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0/ws") as host, AsyncExitStack() as stack:
        port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
        slow = await stack.enter_async_context(await _from("127.0.0.2", port))
        await slow.send_all(b"\x13")
        for _ in range(SILENT):
            await stack.enter_async_context(await _from("127.0.0.1", port))
        try:
            await slow.send_all(b"/multistream/1.0.0\n")
            return "answered" if await slow.receive_some() else "pushed out"
        except trio.BrokenResourceError:
            return "pushed out"


async def _from(ip: str, port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port, local_address=ip)


def test_the_silent_go_and_the_honest_stays() -> None:
    said = outcome(silent_sockets, stock=False)
    assert said == "few at a time: True, left in the end: none, the honest one: True"


def test_the_stock_library_holds_them_all() -> None:
    said = outcome(silent_sockets, stock=True)
    assert said == "few at a time: False, left in the end: some, the honest one: True"


def test_whoever_opens_many_loses_their_own() -> None:
    assert outcome(many_addresses, stock=False) == "answered"


if __name__ == "__main__":
    play(globals(), first_bytes, deafness, half_open)
