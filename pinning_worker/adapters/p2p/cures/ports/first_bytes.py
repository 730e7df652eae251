"""A dial must not fail because its first three bytes came in two pieces.

The fault: of js-libp2p's dials over tcp, to a port that is shared with websockets, one in three fails ("Encryption
failed"). Why: to tell tcp from websockets the library looks at the first three bytes, with one read, which may return
fewer; js-libp2p sends the length of its first line in a packet of its own. Where:
`PortDemultiplexer._classify_and_route`.

The cure: three bytes are collected before the library looks. A dialler that does not send them in time is closed, as
before.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from libp2p.io.peekable_stream import PeekableStream
from libp2p.transport.cmux import _IDENTIFY_TIMEOUT, _PEEK_SIZE, PortDemultiplexer

from pinning_worker.adapters.p2p.cures.once import replace

Route = Callable[[PortDemultiplexer, trio.abc.Stream], Awaitable[None]]


def mend() -> None:
    replace(PortDemultiplexer, "_classify_and_route", _collect_first)


def _collect_first(stock: Route) -> Route:
    async def mended(self: PortDemultiplexer, stream: trio.abc.Stream) -> None:
        first = b""
        try:
            with trio.fail_after(_IDENTIFY_TIMEOUT):
                while len(first) < _PEEK_SIZE:
                    piece = await stream.receive_some(_PEEK_SIZE - len(first))
                    if not piece:
                        break
                    first += piece
        except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
            first = b""
        if len(first) < _PEEK_SIZE:
            await trio.aclose_forcefully(stream)
            return
        await stock(self, PeekableStream(stream, initial_buffer=first))

    return mended
