"""The window of a stream binds its sender, and so do the other rules by which a peer may send on a connection.

The fault: a peer sends on past the window of a stream, 800 MiB on one that nobody reads, and the worker holds all of
it; or it opens streams without end and never closes its side of them, and fills the window of each. Why: an overrun is
only logged, and the window is counted from zero again; a stream keeps its bytes for a minute after we reset it; nothing
counts the bytes in all streams. Where: `Yamux.handle_incoming`, `YamuxStream.read`.

The cure: this module reads the frames, and the streams.
- A peer that exceeds a window ends its connection, as with go-yamux and js-libp2p; so does a frame of an unknown kind,
  and a stream that is opened twice or under a number of ours.
- A frame's bytes reach their reader as they come; of one on its way no more than PIECE is held.
- Bytes for a stream that is gone are read and dropped. A stream that we reset holds nothing.
- `bounds/unread.py` limits how much may lie unread, and on how many streams; a peer that loses a stream there gets a
  RST.
- A read that a deadline cancels loses no byte: a task of the connection sends the window updates, one for each stream,
  however much a sender that reads nothing goes on to send.
- Of the thousands of frames that fit into one message of noise, AT_ONCE are taken in one turn of the event loop.
- A number means the stream that has it now. A holder of a stream that had the number before neither reads nor ends the
  new one.

Upstream: not reported; go-yamux ends the session ("receive window exceeded").
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import structlog
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import IncompleteReadError
from libp2p.io.utils import read_exactly
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    GO_AWAY_PROTOCOL_ERROR,
    HEADER_SIZE,
    MAX_WINDOW_SIZE,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
)

from pinning_worker.adapters.p2p.bounds import unread
from pinning_worker.adapters.p2p.bounds.unread import Backlog, Held
from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.cures.streams import stream_close, yamux_window

PIECE = 64 * 1024
AT_ONCE = 64  # frames
FRAME_SECONDS = 60.0  # for each piece of one
GOODBYE_SECONDS = 1.0

_log = structlog.get_logger(__name__)
_all = Held()
_connections: WeakSet[Yamux] = WeakSet()

Method = Callable[..., Awaitable[Any]]


class _BrokeTheRules(Exception):
    """The connection ends. The text names the rule."""


class _Over(Exception):
    """The peer has ended the connection."""


ENDS = (
    _Over,
    BaseLibp2pError,
    OSError,
    EOFError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
)
"""The peer, the network or we ourselves have ended the connection: nothing to log."""

AFTER = (stream_close,)  # a stream's bytes are released whatever becomes of the reset


def mend() -> None:
    replace(Yamux, "handle_incoming", _by_the_rules)
    replace(Yamux, "_finalize_stream_locked", _its_own_only)
    replace(YamuxStream, "read", _what_lies_there)
    replace(YamuxStream, "reset", _hold_nothing)


def held_by_all() -> int:
    """Bytes that lie unread in the streams of all connections of this process."""
    return sum(_lying_in(connection) for connection in _connections)


def _by_the_rules(_stock: Method) -> Method:
    async def mended(self: Yamux) -> None:
        self.__dict__["_held"] = Held(_all)
        _connections.add(self)
        try:
            while not self.event_shutting_down.is_set():
                for _ in range(AT_ONCE):
                    header = await read_exactly(self.secured_conn, HEADER_SIZE)
                    await _take(self, *struct.unpack(YAMUX_HEADER_FORMAT, header))
                await trio.lowlevel.checkpoint()
        except _BrokeTheRules as error:
            _log.debug("libp2p.broke_the_rules", peer=str(self.peer_id), reason=str(error))
            await _send_frame(self, TYPE_GO_AWAY, 0, 0, GO_AWAY_PROTOCOL_ERROR)
        except ENDS:
            pass
        except Exception as error:  # noqa: BLE001  however its wire fails, this connection ends, and no other
            _log.debug("libp2p.fault_caught", place="Yamux.handle_incoming", error=repr(error))
        finally:
            _held(self).set(0)
            self.__dict__["_held"] = Held()  # bytes still read of it count no more
            _connections.discard(self)
        await self._cleanup_on_error()

    return mended


async def _take(self: Yamux, version: int, kind: int, flags: int, number: int, length: int) -> None:
    """One frame, whose header has been read. `length` is a number of bytes in a DATA frame only."""
    if version != 0:
        raise _BrokeTheRules(f"version {version}")
    if kind == TYPE_PING:
        await _pinged(self, flags, length)
    elif kind == TYPE_GO_AWAY:
        raise _Over(f"told with code {length}")
    elif kind in (TYPE_DATA, TYPE_WINDOW_UPDATE):
        came = await _opened(self, number) if flags & FLAG_SYN else None
        if kind == TYPE_DATA:
            await _filled(self, number, length)
        elif (stream := self.streams.get(number)) is not None:
            stream.send_window += length
        _ended(self, number, flags)
        if came is not None and not flags & FLAG_RST:
            await self._write_frame(_header(TYPE_WINDOW_UPDATE, FLAG_ACK, number, 0))
            await self.new_stream_send_channel.send(came)
    else:
        raise _BrokeTheRules(f"a frame of kind {kind}")


async def _pinged(self: Yamux, flags: int, value: int) -> None:
    if flags & FLAG_SYN:
        await self._write_frame(_header(TYPE_PING, FLAG_ACK, 0, value))
    elif flags & FLAG_ACK:
        took = trio.current_time() - self._ping_sent_time
        self._rtt = took if self._rtt == 0.0 else (self._rtt + took) / 2
        self._ping_event.set()


async def _opened(self: Yamux, number: int) -> YamuxStream | None:
    """The new stream; None, and reset: the connection knows too many."""
    if number % 2 == self.next_stream_id % 2 or number == 0 or number in self.streams:
        raise _BrokeTheRules(f"stream {number} is not its to open")
    if len(self.streams) >= unread.MOST_STREAMS:
        closed = next((each for each in self.streams.values() if each.send_closed), None)
        if closed is None:
            await self._write_frame(_header(TYPE_WINDOW_UPDATE, FLAG_RST, number, 0))
            return None
        _give_up(self, [closed])
    stream = YamuxStream(number, self, is_initiator=False)
    self.streams[number] = stream
    self.stream_buffers[number] = bytearray()
    self.stream_events[number] = trio.Event()
    return stream


async def _filled(self: Yamux, number: int, length: int) -> None:
    stream = self.streams.get(number)
    if length > (MAX_WINDOW_SIZE if stream is None else stream.recv_window):
        raise _BrokeTheRules(f"{length} bytes for stream {number}, past its window")
    while length:
        with trio.fail_after(FRAME_SECONDS):
            piece = await self.secured_conn.read(min(length, PIECE))
        if not piece:
            raise IncompleteReadError("the connection ended inside a frame")
        length -= len(piece)
        if stream is not None:
            stream.recv_window -= len(piece)  # bytes on their way still count as sent
        if stream is not None and self.streams.get(number) is stream and not stream.recv_closed:
            _lay_down(self, stream, piece)


def _lay_down(self: Yamux, stream: YamuxStream, piece: bytes) -> None:
    self.stream_buffers[stream.stream_id] += piece
    _backlog(stream).received(len(piece), trio.current_time())
    self.stream_events[stream.stream_id].set()
    held = _held(self)
    held.add(len(piece))
    if held.bytes > unread.MOST_OF_ONE:
        _make_room([self], unread.MOST_OF_ONE)
    if _all.bytes > unread.MOST_OF_ALL:
        _make_room(list(_connections), unread.MOST_OF_ALL)


def _ended(self: Yamux, number: int, flags: int) -> None:
    """The flags of a frame may say that its stream ends."""
    stream = self.streams.get(number)
    if stream is None or not flags & (FLAG_FIN | FLAG_RST):
        return
    self.stream_events[number].set()
    if flags & FLAG_RST:
        if not stream.recv_closed:  # else its reader may still have what came before the end
            _drop(self, stream)
        stream.closed = stream.reset_received = True
    else:
        stream.recv_closed = True
        stream.closed = stream.closed or stream.send_closed
    if stream.closed:
        self._finalize_stream_locked(stream, fully_closed=True)


def _its_own_only(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: Yamux, stream: YamuxStream, *, fully_closed: bool) -> None:
        stock(self, stream, fully_closed=fully_closed and _is_known(stream))

    return mended


def _is_known(stream: YamuxStream) -> bool:
    """Whether its number still means this stream."""
    return stream.conn.streams.get(stream.stream_id) is stream


def _what_lies_there(_stock: Method) -> Method:
    async def mended(self: YamuxStream, n: int | None = -1) -> bytes:
        """Some bytes, at most `n`, as soon as there are any. Raises MuxedStreamEOF, MuxedStreamReset."""
        await trio.lowlevel.checkpoint()  # nothing is taken and then lost to a cancellation
        connection = self.conn
        while not (lying := _lying(self)):
            event = connection.stream_events.get(self.stream_id) if _is_known(self) else None
            if self.reset_received:
                raise MuxedStreamReset("Stream was reset")
            if event is None or self.recv_closed or self.closed or connection.event_shutting_down.is_set():
                raise MuxedStreamEOF("Stream is closed for receiving")
            await event.wait()
            if connection.stream_events.get(self.stream_id) is event:
                connection.stream_events[self.stream_id] = trio.Event()
        count = len(lying) if n is None or n < 0 else min(n, len(lying))
        data = bytes(memoryview(lying)[:count])
        del lying[:count]
        _held(connection).add(-count)
        _backlog(self).was_read(count, trio.current_time())
        if self.closed:
            connection._finalize_stream_locked(self, fully_closed=True)
        elif not self.recv_closed:
            yamux_window.follow(self, count)
            _tell_of_room(self)
        return data

    return mended


def _lying(stream: YamuxStream) -> bytearray:
    return stream.conn.stream_buffers.get(stream.stream_id, bytearray()) if _is_known(stream) else bytearray()


def _tell_of_room(stream: YamuxStream) -> None:
    """Room that becomes free during a window update goes into the next one: the sender may not take what we send."""
    if not stream.__dict__.get("_telling") and (room := yamux_window.room_to_tell(stream)):
        stream.__dict__["_telling"] = True
        _in_background(stream.conn, _say_there_is_room, stream, room)


async def _say_there_is_room(stream: YamuxStream, room: int) -> None:
    await _send_frame(stream.conn, TYPE_WINDOW_UPDATE, 0, stream.stream_id, room)
    stream.__dict__["_telling"] = False
    if not stream.recv_closed:
        _tell_of_room(stream)


def _hold_nothing(stock: Callable[[YamuxStream], Awaitable[None]]) -> Callable[[YamuxStream], Awaitable[None]]:
    async def mended(self: YamuxStream) -> None:
        if _is_known(self):
            _drop(self.conn, self)
            self.recv_closed = self.reset_received = True  # bytes that still come are dropped, too
            self.conn.stream_events[self.stream_id].set()
        await stock(self)

    return mended


def _make_room(connections: Iterable[Yamux], most: int) -> None:
    for each in connections:
        _held(each).set(_lying_in(each))  # the library ends streams, too, without a call to us
    chosen = unread.to_give_up(_waiting(connections), most)
    if chosen:
        size = sum(_backlog(stream).unread for stream in chosen)
        _log.info("libp2p.streams_not_read", streams=len(chosen), bytes=size, peer=str(chosen[0].conn.peer_id))
    for stream in chosen:
        _give_up(stream.conn, [stream])


def _waiting(connections: Iterable[Yamux]) -> Iterator[tuple[YamuxStream, Backlog]]:
    for connection in connections:
        for stream in connection.streams.values():
            yield stream, _backlog(stream)


def _give_up(self: Yamux, streams: Iterable[YamuxStream]) -> None:
    """Ends streams as a reset would: their readers and writers wake, and the peer gets a RST."""
    for stream in streams:
        _drop(self, stream)
        stream.closed = stream.send_closed = stream.recv_closed = stream.reset_received = True
        self.stream_events[stream.stream_id].set()
        self._finalize_stream_locked(stream, fully_closed=True)
        _in_background(self, _send_frame, self, TYPE_WINDOW_UPDATE, FLAG_RST, stream.stream_id, 0)


def _drop(self: Yamux, stream: YamuxStream) -> None:
    lying = self.stream_buffers.get(stream.stream_id)
    if lying:
        _held(self).add(-len(lying))
        _backlog(stream).was_read(len(lying), trio.current_time())
        lying.clear()


def _in_background(self: Yamux, send: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Sends it in a task of the connection: at most two for each stream, of its room and of its end."""
    if self._nursery is not None:
        with suppress(RuntimeError):  # it has ended, and the connection with it
            self._nursery.start_soon(send, *arguments)


async def _send_frame(self: Yamux, kind: int, flags: int, number: int, value: int) -> None:
    seconds = GOODBYE_SECONDS if kind == TYPE_GO_AWAY else float("inf")
    with trio.move_on_after(seconds), suppress(Exception):  # a wire may fail in any way; its reader ends it
        await self._write_frame(_header(kind, flags, number, value))


def _header(kind: int, flags: int, number: int, value: int) -> bytes:
    return struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, number, value)


def _held(connection: Yamux) -> Held:
    held: Held = connection.__dict__.setdefault("_held", Held(_all))
    return held


def _lying_in(connection: Yamux) -> int:
    return sum(map(len, connection.stream_buffers.values()))


def _backlog(stream: YamuxStream) -> Backlog:
    backlog: Backlog = stream.__dict__.setdefault("_backlog", Backlog())
    return backlog
