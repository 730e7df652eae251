"""A stream that is given up while it is being opened must not cost its connection one for good.

The fault: a connection on which 256 openings were given up, by a deadline or a cancellation, opens no more streams.
Why: each stream that we open takes one of 256 places, and only an error gives it back, not a cancellation. Where:
`Yamux.open_stream`, and `SwarmConn.new_stream`, which tells others of the stream before it hands it over.

The cure: the place is given back however the opening ends, and the other side gets a RST.

Upstream: not reported.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio
from libp2p.abc import IMuxedStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_SYN,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
)

from pinning_worker.adapters.p2p.cures.once import replace

RESET_SECONDS = 1.0

New = Callable[[SwarmConn], Awaitable[NetStream]]
Open = Callable[[Yamux], Awaitable[YamuxStream]]


def mend() -> None:
    replace(Yamux, "open_stream", _or_give_back)
    replace(SwarmConn, "new_stream", _or_reset)


def _or_give_back(_stock: Open) -> Open:
    async def mended(self: Yamux) -> YamuxStream:
        await self.stream_backlog_semaphore.acquire()
        if self.event_shutting_down.is_set():
            self.stream_backlog_semaphore.release()
            raise MuxedStreamError("Connection is shutting down")
        stream = _next(self)
        try:
            await self._write_frame(
                struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_WINDOW_UPDATE, FLAG_SYN, stream.stream_id, 0)
            )
        except BaseException as error:  # a cancellation too: nobody else knows this stream
            await _reset(stream)
            self._finalize_stream_locked(stream, fully_closed=True)
            if isinstance(error, Exception):
                raise MuxedStreamError(f"Failed to send SYN: {error}") from error
            raise
        return stream

    return mended


def _or_reset(_stock: New) -> New:
    async def mended(self: SwarmConn) -> NetStream:
        muxed = await self.muxed_conn.open_stream()
        try:
            return await self._add_stream(muxed)
        except BaseException:
            for stream in self.streams.copy():
                if stream.muxed_stream is muxed:
                    self.remove_stream(stream)
            await _reset(muxed)
            raise

    return mended


async def _reset(stream: IMuxedStream) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + RESET_SECONDS), suppress(BaseLibp2pError):
        await stream.reset()


def _next(connection: Yamux) -> YamuxStream:
    """Known to the connection from now on, as one that has a place. Without a turn in between: no lock is needed."""
    stream = YamuxStream(connection.next_stream_id, connection, is_initiator=True)
    connection.next_stream_id += 2
    stream._owns_backlog_slot = True
    connection.streams[stream.stream_id] = stream
    connection.stream_buffers[stream.stream_id] = bytearray()
    connection.stream_events[stream.stream_id] = trio.Event()
    return stream
