"""A peer that reads slowly must still get the whole of a large message.

The fault: a write of a block fails with "Timed out waiting for window update" when its reader takes nothing for 5 s:
a phone on a thin line, a browser in a background tab; so a block of 1 MiB never arrives below some 50 kB/s. Where it
waits it looks at the window every 10 ms, which also costs half of the speed to a quick reader. Where:
`YamuxStream.write`.

The cure: a writer is woken by the window update itself, and gives up after PATIENCE_SECONDS without one. Callers have
deadlines of their own. Frames are as large as before; the bytes of a message are copied once on their way, not twice.

Upstream: not reported.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import (
    HEADER_SIZE,
    MAX_MESSAGE_SIZE,
    TYPE_DATA,
    YAMUX_HEADER_FORMAT,
    YamuxStream,
)

from pinning_worker.adapters.p2p.cures.once import replace

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 1.0  # a stream that ends while a writer waits wakes nobody: the writer looks this often
LARGEST = MAX_MESSAGE_SIZE - HEADER_SIZE

Write = Callable[[YamuxStream, bytes], Awaitable[None]]


def mend() -> None:
    replace(YamuxStream, "write", _woken)
    if not isinstance(vars(YamuxStream).get("send_window"), _Window):
        YamuxStream.send_window = _Window()  # type: ignore[assignment]  # in the place of a plain number


class _Window:
    """`send_window` as a property of the class: an assignment that enlarges it wakes the writer."""

    def __get__(self, stream: Any, owner: type | None = None) -> Any:
        return self if stream is None else stream.__dict__["send_window"]

    def __set__(self, stream: Any, size: int) -> None:
        stream.__dict__["send_window"] = size
        if size > 0 and (opened := stream.__dict__.get("window_opened")) is not None:
            opened.set()


def _woken(stock: Write) -> Write:
    async def mended(self: YamuxStream, data: bytes) -> None:
        rest = memoryview(data)
        _require_open(self)
        while rest:
            await _window(self)
            size = min(self.send_window, LARGEST, len(rest))
            self.send_window -= size
            header = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, self.stream_id, size)
            await self.conn._write_frame(b"".join((header, rest[:size])))
            rest = rest[size:]

    return mended


async def _window(stream: YamuxStream) -> None:
    """Returns when something may be sent. Raises MuxedStreamError: the stream ended, or its reader reads no more."""
    _require_open(stream)
    deadline = trio.current_time() + PATIENCE_SECONDS
    while stream.send_window <= 0:
        opened = stream.__dict__["window_opened"] = trio.Event()
        with trio.move_on_after(LOOK_SECONDS):
            await opened.wait()
        _require_open(stream)
        if trio.current_time() > deadline and stream.send_window <= 0:
            raise MuxedStreamError(f"the reader has taken nothing for {PATIENCE_SECONDS:.0f} s")


def _require_open(stream: YamuxStream) -> None:
    if stream.send_closed or stream.closed:
        raise MuxedStreamError("Stream is closed for sending")
