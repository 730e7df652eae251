"""The whole-endings cure: who takes nothing any more and is sent away is gone, its connection and its streams."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from libp2p.rcmgr import ResourceManager

from pinning_worker.adapters.p2p.cures import deafness, half_open, whole_endings, whole_frames
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play, until

HOLD = TProtocol("/hold/1")
STREAMS = 8
MORE_THAN_FITS = 200_000  # bytes on each; a stream's window takes them, the shrunken buffers of the sockets do not


async def sent_away_while_it_takes_nothing() -> str:
    async with (
        bare_host(resource_manager=ResourceManager()) as host,
        bare_host() as peer,
        trio.open_nursery() as nursery,
    ):
        swarm = host.get_network()
        assert isinstance(swarm, Swarm)
        free = swarm._stream_semaphore
        assert free is not None
        places = free.value
        peer.set_stream_handler(HOLD, hold)
        await connect(peer, host)
        await until(lambda: bool(swarm.get_connections(peer.get_id())))
        streams = [await host.new_stream(peer.get_id(), [HOLD]) for _ in range(STREAMS)]
        await stop_reading(peer, nursery)
        for side in (host, peer):
            shrink_the_buffers(side)
        for stream in streams:
            nursery.start_soon(write_until_the_end, stream)
        assert await until(lambda: not select.select([], [wire_of(host).socket], [], 0)[1])  # it takes nothing any more
        with trio.move_on_after(0.5):
            await host.disconnect(peer.get_id())
        await trio.aclose_forcefully(wire_of(peer))
        gone = await until(lambda: not swarm.get_connections(peer.get_id()))
        given_back = await until(lambda: free.value == places)
        nursery.cancel_scope.cancel()
    return f"gone: {gone}, its streams too: {given_back}"


async def hold(_: INetStream) -> None:
    await trio.sleep_forever()


async def write_until_the_end(stream: INetStream) -> None:
    with suppress(BaseLibp2pError):
        await stream.write(bytes(MORE_THAN_FITS))


async def stop_reading(peer: BasicHost, nursery: trio.Nursery) -> None:
    """Whoever waits to read now reads once more."""
    stream = raw_of(peer)

    async def keep_the_lock(task_status: Any) -> None:
        stream.read_lock = trio.Lock()
        async with stream.read_lock:
            task_status.started()
            await trio.sleep_forever()

    await nursery.start(keep_the_lock)


def raw_of(host: BasicHost) -> Any:
    [connection] = host.get_network().get_connections()
    found: Any = connection.muxed_conn
    while not hasattr(found, "read_lock"):
        found = next(getattr(found, name) for name in ("secured_conn", "conn", "stream") if hasattr(found, name))
    return found


def wire_of(host: BasicHost) -> trio.SocketStream:
    [connection] = host.get_network().get_connections()
    stream = half_open.socket_under(connection.muxed_conn.secured_conn)  # type: ignore[attr-defined]
    assert stream is not None
    return stream


def shrink_the_buffers(host: BasicHost) -> None:
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        wire_of(host).socket.setsockopt(socket.SOL_SOCKET, option, 8192)


def test_it_is_gone() -> None:
    assert outcome(sent_away_while_it_takes_nothing, stock=False) == "gone: True, its streams too: True"


def test_in_the_stock_library_it_stays() -> None:
    assert outcome(sent_away_while_it_takes_nothing, stock=True) == "gone: False, its streams too: False"


if __name__ == "__main__":
    play(globals(), deafness, whole_frames, whole_endings)
