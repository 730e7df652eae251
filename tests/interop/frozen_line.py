"""A line that can freeze: a TCP forwarder whose connections stay open and carry nothing, as when a laptop is shut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio


class Line:
    """`address`: the multiaddr of the far end, by way of this line."""

    def __init__(self, target: str) -> None:
        self.address = ""
        self._target = target
        self._frozen = False

    def freeze(self) -> None:
        """From now on nothing passes, and no end is told when the other one closes."""
        self._frozen = True

    async def _forward(self, near: trio.SocketStream) -> None:
        _, _, ip, _, port, *_ = self._target.split("/")
        far = await trio.open_tcp_stream(ip, int(port))
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, near, far)
            nursery.start_soon(self._carry, far, near)

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            async for data in source:
                if not self._frozen:
                    await sink.send_all(data)
            if not self._frozen:
                await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        if self._frozen:
            await trio.sleep_forever()


@asynccontextmanager
async def open_line(target: str) -> AsyncIterator[Line]:
    """A line to `/ip4/…/tcp/…[/ws]/p2p/…`, on a free port of loopback."""
    line = Line(target)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, line._forward, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        _, _, _, _, _, *rest = target.split("/")
        line.address = "/".join(["", "ip4", "127.0.0.1", "tcp", str(listener.socket.getsockname()[1]), *rest])
        yield line
        nursery.cancel_scope.cancel()
