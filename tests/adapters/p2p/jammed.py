"""A peer on loopback that takes nothing any more: it does not read, and the small buffers on the way to it are full."""

from __future__ import annotations

import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost

from pinning_worker.adapters.p2p.host.sockets import socket_under
from tests.adapters.p2p.cure_rig import until

MORE_THAN_FITS = 200_000  # bytes; a stream's window takes them, the shrunken buffers of the sockets do not


@asynccontextmanager
async def jammed(host: BasicHost, peer: BasicHost, streams: list[INetStream]) -> AsyncIterator[None]:
    """Both are connected with each other only. While the block runs `peer` takes nothing of what `host` writes, on
    these streams or any other; then it reads on."""
    for side in (host, peer):
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            wire_of(side).socket.setsockopt(socket.SOL_SOCKET, option, 8192)
    async with trio.open_nursery() as writing, trio.open_nursery() as holding:
        await holding.start(_keep_from_reading, _raw_of(peer))
        for stream in streams:
            writing.start_soon(_write, stream)
        assert await until(lambda: not select.select([], [wire_of(host).socket], [], 0)[1])
        yield
        holding.cancel_scope.cancel()


def wire_of(host: BasicHost) -> trio.SocketStream:
    stream = socket_under(_muxed_of(host).secured_conn)
    assert stream is not None
    return stream


def _muxed_of(host: BasicHost) -> Any:
    [connection] = host.get_network().get_connections()
    return connection.muxed_conn


async def _write(stream: INetStream) -> None:
    with suppress(BaseLibp2pError):
        await stream.write(bytes(MORE_THAN_FITS))


def _raw_of(host: BasicHost) -> Any:
    found = _muxed_of(host)
    while not hasattr(found, "read_lock"):
        found = next(getattr(found, name) for name in ("secured_conn", "conn", "stream") if hasattr(found, name))
    return found


async def _keep_from_reading(raw: Any, task_status: Any) -> None:
    """A reader that waits now reads once more."""
    raw.read_lock = trio.Lock()
    async with raw.read_lock:
        task_status.started()
        await trio.sleep_forever()
