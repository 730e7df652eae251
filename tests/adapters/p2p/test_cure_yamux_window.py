"""The yamux cure: a peer that uses its whole window in one frame, as js-yamux does, keeps its connection; and what a
peer may have under way grows with what its line carries, not with how often it speaks.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.stream.exceptions import StreamError
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT

from pinning_worker.adapters.p2p.cures.streams import yamux_window
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play

MIB = 1024 * 1024
ENOUGH = 100 * MIB
SINK = TProtocol("/sink/1")


async def whole_windows() -> str:
    """Frames as large as the receiver allows, until it has taken ENOUGH or closed the connection."""
    async with bare_host() as receiver, bare_host() as sender:
        receiver.set_stream_handler(SINK, _read_all)
        await connect(sender, receiver)
        # The window grows while a round trip takes longer than a read; a slow line is made by saying so.
        cast("Any", receiver.get_network().get_connections()[0]).muxed_conn.rtt = lambda: 1.0
        stream = await sender.new_stream(receiver.get_id(), [SINK])
        sent = largest = 0
        muxed = cast("Any", stream).muxed_stream
        while sent < ENOUGH and not muxed.conn.is_closed:
            size = await _whole_window(muxed)
            muxed.send_window -= size
            largest = max(largest, size)
            header = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, muxed.stream_id, size)
            try:
                await muxed.conn.secured_conn.write(header + bytes(size))
            except ConnectionClosedError:
                break
            sent += size
    taken, limit = "all taken" if sent >= ENOUGH else "cut off", "at most" if largest <= 3 * MIB else "over"
    return f"{taken}, largest frame {limit} 3 MiB"


async def short_lines() -> str:
    """Five, each answered before the next, as a stream begins; and then the window that the receiver has granted."""
    async with bare_host() as receiver, bare_host() as sender:
        receiver.set_stream_handler(SINK, _echo)
        await connect(sender, receiver)
        stream = await sender.new_stream(receiver.get_id(), [SINK])
        for _ in range(5):
            await stream.write(b"x" * 20)
            await stream.read(20)
        grown = await _whole_window(cast("Any", stream).muxed_stream) > 256 * 1024
    return "grown" if grown else "as it was"


async def _echo(stream: INetStream) -> None:
    with suppress(StreamError):
        while data := await stream.read(MIB):
            await stream.write(data)


async def _whole_window(muxed: Any) -> int:
    """The window, once it has stopped growing."""
    size = 0
    while size == 0 or size != muxed.send_window:
        size = muxed.send_window
        await trio.sleep(0.02)
    return size


async def _read_all(stream: INetStream) -> None:
    with suppress(StreamError):
        while await stream.read(MIB):
            pass


def test_the_connection_lives() -> None:
    assert outcome(whole_windows, stock=False) == "all taken, largest frame at most 3 MiB"


def test_on_the_stock_library_it_is_closed() -> None:
    assert outcome(whole_windows, stock=True) == "cut off, largest frame over 3 MiB"


def test_short_lines_let_no_more_be_under_way() -> None:
    assert outcome(short_lines, stock=False) == "as it was"


def test_on_the_stock_library_they_do() -> None:
    assert outcome(short_lines, stock=True) == "grown"


if __name__ == "__main__":
    play(globals(), yamux_window)
