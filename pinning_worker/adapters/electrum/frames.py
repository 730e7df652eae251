"""Whole messages over a byte stream: lines (tcp, ssl) or WebSocket messages (ws, wss).

A frame is one JSON text. The receiver passes a limit for its size (`bounds.py`), and the limit may change while the
frame arrives. A server that exceeds it has misbehaved, and the connection closes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, cast

import h11
import structlog
import trio
import wsproto.utilities
from aiorpcx.framing import NewlineFramer
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from pinning_worker.adapters.electrum.bounds import LARGEST_FRAME
from pinning_worker.adapters.electrum.endpoint import Endpoint, WrongCertificate, open_stream
from pinning_worker.adapters.electrum.faults import LinkLost, OtherProtocol, TooMuch, Unreachable
from pinning_worker.adapters.electrum.measured_stream import MeasuredStream

_log = structlog.get_logger(__name__)

_CHUNK = 1 << 16
_GOODBYE_SECONDS = 1.0
_TOO_BIG = 1009  # WebSocket close code


Limit = Callable[[], int]  # bytes that the frame may have, as of now


class Frames(Protocol):
    """A duplex of frames. It is unusable after any error."""

    async def send(self, frame: bytes) -> None:
        """Raises LinkLost."""

    async def receive(self, limit: Limit) -> bytes:
        """Raises LinkLost if the server has closed, TooMuch if a frame exceeds the limit or the absolute maximum."""

    async def aclose(self) -> None: ...


@asynccontextmanager
async def open_frames(endpoint: Endpoint, nursery: trio.Nursery, largest: int = LARGEST_FRAME) -> AsyncIterator[Frames]:
    """Connected frames, closed on exit. The caller owns the deadline for entering.

    `nursery` runs the WebSocket's reader. Raises LinkLost.
    """
    frames = await _connect(endpoint, nursery, largest)
    try:
        yield frames
    finally:
        with trio.CancelScope(deadline=trio.current_time() + _GOODBYE_SECONDS, shield=True):
            await frames.aclose()


async def _connect(endpoint: Endpoint, nursery: trio.Nursery, largest: int) -> Frames:
    try:
        stream = await open_stream(endpoint)
    except trio.BrokenResourceError as error:  # TLS: the cause names the fault of the certificate
        raise Unreachable(f"cannot connect: {error.__cause__ or error!r}") from error
    except (OSError, WrongCertificate) as error:
        raise Unreachable(f"cannot connect: {error}") from error
    if not endpoint.is_websocket:
        return LineFrames(stream, largest)
    measured = MeasuredStream(stream, lambda: largest)
    try:
        return WebSocketFrames(await _shake_hands(endpoint, measured, nursery, largest), measured)
    except BaseException:  # cancelled, too: the socket is ours to close
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        raise


async def _shake_hands(
    endpoint: Endpoint, stream: MeasuredStream, nursery: trio.Nursery, largest: int
) -> WebSocketConnection:
    reader = _Reader(nursery)
    with reader.handshake:
        return await wrap_client_stream(
            cast("trio.Nursery", reader),  # the library uses only start_soon, once
            cast("trio.SSLStream", stream),  # the library uses only the methods of every stream
            f"{endpoint.host}:{endpoint.port}",
            endpoint.path,
            max_message_size=largest,
            receive_buffer_size=_CHUNK,
        )
    raise OtherProtocol("no WebSocket there")


class _Reader:
    """Stands in for the nursery in which trio-websocket starts its reader.

    The reader raises on everything the server does to it (seen in 0.12: a rejected handshake, an answer that is no
    HTTP, a reset while it answers). Such an error ends this connection and not the worker. If the reader ends during
    the handshake, the handshake would wait for ever, so it is cancelled too.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.handshake = trio.CancelScope()

    def start_soon(self, reader: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, reader)

    async def _run(self, reader: Callable[[], Awaitable[None]]) -> None:
        try:
            await reader()
        except (ConnectionClosed, HandshakeError, wsproto.utilities.ProtocolError, h11.ProtocolError) as fault:
            _log.debug("electrum.websocket_ended", fault=repr(fault))
        finally:
            self.handshake.cancel()


class LineFrames:
    """Frames that end with a newline."""

    def __init__(self, stream: trio.abc.Stream, largest: int = LARGEST_FRAME) -> None:
        self._stream, self._largest, self._buffer = stream, largest, bytearray()
        self._framer = NewlineFramer()

    async def send(self, frame: bytes) -> None:
        try:
            await self._stream.send_all(self._framer.frame(frame))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkLost("the connection broke") from error

    async def receive(self, limit: Limit) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            self._require_within(limit, len(self._buffer))
            searched = len(self._buffer)
            self._buffer += await self._receive_some()
        self._require_within(limit, end)
        frame = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return frame

    def _require_within(self, limit: Limit, size: int) -> None:
        largest = min(limit(), self._largest)
        if size > largest:
            raise TooMuch(f"a frame over {largest} bytes")

    async def _receive_some(self) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(_CHUNK))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkLost("the connection broke") from error
        if not data:
            raise LinkLost("the server closed the connection")
        return data

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)


class WebSocketFrames:
    """Frames that are WebSocket messages, text or binary."""

    def __init__(self, socket: WebSocketConnection, stream: MeasuredStream) -> None:
        self._socket, self._stream = socket, stream

    async def send(self, frame: bytes) -> None:
        try:
            await self._socket.send_message(frame.decode())
        except (ConnectionClosed, wsproto.utilities.ProtocolError) as error:  # the latter between its close and ours
            raise LinkLost("the connection broke") from error

    async def receive(self, limit: Limit) -> bytes:
        """The library buffers a message up to the largest size before anybody can look at it."""
        self._stream.limit = limit
        try:
            message = await self._socket.get_message()
        except ConnectionClosed as error:
            if self._stream.is_flooded:
                raise TooMuch("a frame over the limit, or frames without end that are no messages") from error
            if error.reason is not None and error.reason.code == _TOO_BIG:
                raise TooMuch("a frame over the limit") from error
            raise LinkLost("the server closed the connection") from error
        if len(message) > (largest := limit()):
            raise TooMuch(f"a frame over {largest} bytes")
        data = message if isinstance(message, bytes) else message.encode()
        self._stream.note_message(len(data))
        return data

    async def aclose(self) -> None:
        try:
            await self._socket.aclose()
        finally:  # the library leaves the stream open if it closed with 1009 itself
            await trio.aclose_forcefully(self._stream)
