"""Bytes that a browser sends over webrtc must reach their reader whole, however late it reads.

The fault: while the worker is busy, 64 frames (1 MiB) of a stream may lie unread; later ones are dropped with a line in
the log, and so is the end of the stream. The reader gets bytes with a hole in them, or waits for ever. Why: SCTP opens
its window again as soon as a message is whole, read or not, so nothing holds the sender back. Where:
`WebRTCStream._apply_batch_on_trio_thread`.

The cure: unread bytes stay charged to the window of their connection (1 MiB, all streams together: SCTP knows no
other), with an extra charge for each frame; so the sender waits, and nothing is dropped. Chunks beyond the window are
not acknowledged and will come again. When there is room again, the sender learns it at once. A stream that nobody reads
while the window is shut would hold up the others for good, and js-libp2p disconnects when a ping gets no answer for
some seconds: after PATIENCE_SECONDS without any reading the stream is reset, which its sender learns. A stream ends
once: a peer that closes it ten thousand times, in frames that cost no window, gets one answer, and one close is kept.
In all connections together no more lies unread than by tcp and ws; over it, the streams that have waited longest are
reset.

Upstream: not reported.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import structlog
import trio
from aiortc.rtcsctptransport import RTCSctpTransport
from libp2p.transport.webrtc import _aiortc_helpers
from libp2p.transport.webrtc.connection import WebRTCConnection
from libp2p.transport.webrtc.pb.webrtc_pb2 import Message
from libp2p.transport.webrtc.stream import WebRTCStream

from pinning_worker.adapters.p2p.bounds import unread
from pinning_worker.adapters.p2p.bounds.unread import Backlog, Held
from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.cures.webrtc import bounds

PER_FRAME = 64  # bytes: what a frame costs beside its payload
SHUT = 256 * 1024  # less room than this: the sender may be waiting
AT_ONCE = 64 * 1024  # released together, so that not every read wakes aiortc's thread
MUCH = 2 * AT_ONCE  # unread: some of it can be read, and will make room
LARGEST_CHUNK = 2_048  # of SCTP, in one datagram
LARGEST_FRAME = 16 * 1024  # of libp2p's webrtc: with less room a sender may stand still, and fill no more of it
PATIENCE_SECONDS = 5.0
LOOK_SECONDS = 0.5

_log = structlog.get_logger(__name__)

AFTER = (bounds,)  # a chunk that finds the window shut is never counted


def mend() -> None:
    replace(_aiortc_helpers, "wire_pc_to_connection", _with_a_window)
    replace(WebRTCStream, "__init__", _charged)
    replace(WebRTCStream, "_reset_locally", _released)
    replace(WebRTCStream, "_apply_batch_on_trio_thread", _ends_once)
    replace(RTCSctpTransport, "_receive_data_chunk", _not_while_shut)
    replace(RTCSctpTransport, "_send_sack", _or_no_room)


_windows: WeakSet[Window] = WeakSet()
_all = Held()  # the charges of all windows together


class Window:
    """The window of one connection. Used on our thread; `charge` runs while aiortc's thread waits for it, and releases
    are handed to that thread."""

    def __init__(self, sctp: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.unread: dict[WebRTCStream, Backlog] = {}
        self._sctp, self._loop = sctp, loop
        self._read = 0  # in all
        self._owed = 0  # read, and not released yet
        self._watching = False
        _windows.add(self)

    def charge(self, stream: WebRTCStream, cost: int) -> None:
        self.unread.setdefault(stream, Backlog()).received(cost, trio.current_time())
        _all.add(cost)
        self._charge(cost)
        if self._is_much and not self._watching:
            self._watching = True
            trio.lowlevel.spawn_system_task(self._watch)
        if _all.bytes > unread.MOST_OF_ALL:
            _make_room()

    def release(self, stream: WebRTCStream, cost: int) -> None:
        backlog = self.unread.get(stream, Backlog())
        left = backlog.unread
        cost = min(cost, left)  # a frame may be handed over while its stream is reset
        backlog.was_read(cost, trio.current_time())
        if left == cost:
            self.unread.pop(stream, None)
        _all.add(-cost)
        self._read += cost
        self._owed += cost
        if self._owed >= AT_ONCE or left == cost:
            self._call(self._give_back, self._owed)
            self._owed = 0

    def release_all(self, stream: WebRTCStream) -> None:
        self.release(stream, self.unread.get(stream, Backlog()).unread)

    @property
    def _is_much(self) -> bool:
        """Counts the unread bytes, not the room: lost pieces of frames take up room without a message to us."""
        return _unread(self._sctp) >= MUCH

    def _call(self, what: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # that loop has stopped
            self._loop.call_soon_threadsafe(what, *args)

    def _charge(self, cost: int) -> None:
        self._sctp._advertised_rwnd -= cost
        self._sctp.__dict__["_unread"] = _unread(self._sctp) + cost

    def _give_back(self, cost: int) -> None:
        was_shut = self._sctp._advertised_rwnd < SHUT
        self._charge(-cost)
        if was_shut and self._sctp.transport.state == "connected":
            asyncio.ensure_future(self._tell())  # noqa: RUF006  it is short, and nobody waits for it

    async def _tell(self) -> None:
        with suppress(ConnectionError):
            await self._sctp._send_sack()

    async def _watch(self) -> None:
        """Looks, not seconds, are counted: a standstill of our own is no fault of the reader."""
        looks = 0
        while self._is_much and self._sctp.transport.state == "connected":
            read_before = self._read
            await trio.sleep(LOOK_SECONDS)
            looks = looks + 1 if self._read == read_before and _room(self._sctp) < LARGEST_FRAME else 0
            if looks >= PATIENCE_SECONDS / LOOK_SECONDS:
                self._reset_the_fullest()
                looks = 0
        self._watching = False

    def _reset_the_fullest(self) -> None:
        if self.unread:
            stream = max(self.unread, key=lambda each: self.unread[each].unread)
            _log.info("libp2p.stream_not_read", peer=str(stream.muxed_conn.peer_id), bytes=self.unread[stream].unread)
            _reset(stream)


def _make_room() -> None:
    waiting = [pair for window in _windows for pair in window.unread.items()]
    _all.set(sum(backlog.unread for _, backlog in waiting))  # a connection that has ended releases nothing itself
    chosen = unread.to_give_up(waiting, unread.MOST_OF_ALL)
    if chosen:
        _log.info("libp2p.streams_not_read", streams=len(chosen), peer=str(chosen[0].muxed_conn.peer_id))
    for stream in chosen:
        _reset(stream)


def _reset(stream: WebRTCStream) -> None:
    with suppress(RuntimeError):  # aiortc's loop stops just now
        stream._reset_on_trio_thread()


class _Unread:
    """Both ends of a stream's queue, in the place of the library's: without a size, because the window is one."""

    def __init__(self, stream: WebRTCStream, window: Window) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](math.inf)
        self._stream, self._window = stream, window

    def send_nowait(self, frame: bytes) -> None:
        self._send.send_nowait(frame)
        if frame:  # an empty one is the end
            self._window.charge(self._stream, len(frame) + PER_FRAME)

    async def receive(self) -> bytes:
        return self._taken(await self._receive.receive())

    def receive_nowait(self) -> bytes:
        return self._taken(self._receive.receive_nowait())

    def close(self) -> None:
        self._send.close()
        self._receive.close()
        self._window.release_all(self._stream)

    def drop(self) -> None:
        """Empties the queue unread."""
        with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while True:
                self._receive.receive_nowait()
        self._window.release_all(self._stream)

    def _taken(self, frame: bytes) -> bytes:
        if frame:
            self._window.release(self._stream, len(frame) + PER_FRAME)
        return frame


def _with_a_window(stock: Callable[[Any, WebRTCConnection], None]) -> Callable[[Any, WebRTCConnection], None]:
    def mended(pc: Any, connection: WebRTCConnection) -> None:
        loop: Any = connection._bridge._loop
        connection.__dict__["_window"] = Window(pc.sctp, loop)
        stock(pc, connection)

    return mended


def _charged(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: WebRTCStream, connection: WebRTCConnection, *args: Any, **options: Any) -> None:
        stock(self, connection, *args, **options)
        if (window := connection.__dict__.get("_window")) is not None:
            queue: Any = _Unread(self, window)
            self._read_send = self._read_recv = queue

    return mended


def _released(stock: Callable[[WebRTCStream], None]) -> Callable[[WebRTCStream], None]:
    def mended(self: WebRTCStream) -> None:
        stock(self)
        queue: Any = self._read_recv
        if isinstance(queue, _Unread):
            queue.drop()

    return mended


def _ends_once(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: WebRTCStream, items: list[tuple[bytes, int | None]], reset_after: bool = False) -> None:
        ended, kept = self._read_closed, []
        for payload, flag in items:
            again = flag == Message.FIN and ended
            ended = ended or flag == Message.FIN
            if payload or (flag is not None and not again):
                kept.append((payload, None if again else flag))
        stock(self, kept, reset_after)

    return mended


def _is_full(sctp: RTCSctpTransport) -> bool:
    return _room(sctp) < LARGEST_CHUNK


def _room(sctp: RTCSctpTransport) -> float:
    """Bytes; infinite while little is unread: the bytes that fill the window are then on their way to the reader."""
    return sctp._advertised_rwnd if _unread(sctp) >= MUCH else math.inf


def _unread(sctp: RTCSctpTransport) -> int:
    return int(sctp.__dict__.get("_unread", 0))


def _not_while_shut(stock: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any, Any], Awaitable[None]]:
    async def mended(self: RTCSctpTransport, chunk: Any) -> None:
        if _is_full(self):
            self._sack_needed = True  # reports our progress, and that there is no room; it will come again
            return
        await stock(self, chunk)

    return mended


def _or_no_room(stock: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    async def mended(self: RTCSctpTransport) -> None:
        """A sender that sees a little room takes unacknowledged chunks for lost, and us for dead."""
        crumbs = max(0, self._advertised_rwnd) if _is_full(self) else 0
        self._advertised_rwnd -= crumbs
        try:
            await stock(self)
        finally:
            self._advertised_rwnd += crumbs

    return mended
