"""A slow line to a peer: a TCP relay on loopback that lets so many bytes a second through, upward only.

What a peer behind a home connection is to the worker: its blocks trickle in, its questions and the answers do not wait.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from pinning_worker.ungroup import one_error

PIECES_PER_SECOND = 20
MAX_PIECE = 65_536


@asynccontextmanager
async def slow_line(addr: str, bytes_per_second: int) -> AsyncIterator[str]:
    """The same multiaddr (/ip4/127.0.0.1/tcp/…) by a port behind which uploads are slow."""
    _, _, host, _, port, *rest = addr.split("/")

    async def relay(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream(host, int(port))
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(_carry, near, far, bytes_per_second, nursery.cancel_scope)
            nursery.start_soon(_carry, far, near, None, nursery.cancel_scope)

    with one_error():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, relay, 0, host="127.0.0.1"))
            slow_port = listeners[0].socket.getsockname()[1]
            yield "/".join(["", "ip4", "127.0.0.1", "tcp", str(slow_port), *rest])
            nursery.cancel_scope.cancel()


async def _carry(
    source: trio.SocketStream, target: trio.SocketStream, bytes_per_second: int | None, both: trio.CancelScope
) -> None:
    """One direction. An end of either direction ends the connection, as a peer that goes away does."""
    piece = bytes_per_second // PIECES_PER_SECOND if bytes_per_second else MAX_PIECE
    try:
        while data := await source.receive_some(piece):
            await target.send_all(data)
            if bytes_per_second:
                await trio.sleep(len(data) / bytes_per_second)
    except trio.BrokenResourceError:
        pass
    both.cancel()
