"""Messages on a stream: each one behind its length as a varint, of bounded size, read under a deadline.

Rules: a peer may be silent for SILENCE_SECONDS between two messages and takes at most FRAME_SECONDS for one, and a
second more for each SLOWEST bytes of a large one. A length above the reader's limit is refused before a byte of it is
kept. However many messages came at once, all other tasks have a turn between two of them, and none is copied for the
sake of the one before it. A large message waits for its turn among those of its peer before it is read: its bytes wait
with the sender. Messages that have not ended are bounded together (bounds/half_read.py). The caller gets `StreamGone`
for every exception of py-libp2p at the end of a stream or its connection, for a deadline that passed, and for a message
that had to go; `BadFrame` for a length that lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import trio
from libp2p.exceptions import BaseLibp2pError

from pinning_worker.adapters.p2p.bounds.half_read import GiveUp, HalfRead
from pinning_worker.adapters.p2p.peer_ids import peer_id
from pinning_worker.domain.content.cid import encode_varint
from pinning_worker.domain.identities import NO_PEER, PeerId

LARGEST_FRAME = 4 * 1024 * 1024 + 64 * 1024  # Helia and Kubo cut their messages at 4 MiB
LARGE_FRAME = 256 * 1024
AT_ONCE = 4  # large messages of one peer that are read at a time
SILENCE_SECONDS = 120.0
FRAME_SECONDS = 60.0
SLOWEST = 32 * 1024
WRITE_SECONDS = 30.0
CLOSE_SECONDS = 2.0

GONE = (BaseLibp2pError, OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""The exceptions of py-libp2p when a stream or its connection has ended, or ends meanwhile."""

HALF_READ = HalfRead()  # of all streams of this process

_READ = 1024 * 1024
_MANY = 1024
_NOTHING = memoryview(b"")
_LONGEST_LENGTH = 4  # bytes of the varint: up to 256 MiB, more than any limit


class BadFrame(ValueError):
    """A length that is no varint, or too large."""


class FrameTooLarge(BadFrame):
    """`length`: the announced one."""

    def __init__(self, length: int, allowed: int) -> None:
        super().__init__(f"a message of {length} bytes, {allowed} are allowed")
        self.length = length


class StreamGone(Exception):
    """The stream or its connection ended, or the peer was too slow."""


class ByteStream(Protocol):
    """The methods of py-libp2p's INetStream that this package uses."""

    async def read(self, n: int | None = None) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...

    async def reset(self) -> None: ...


class FrameReader:
    """Reads messages one after the other. The reader calls `limit()` before each: a stranger may send less than a peer
    we asked. `turns` are those of the peer's large messages, on all its streams. `silence`: seconds between two
    messages. `held` gets the number of bytes kept here of a message that has not ended; 0 when it has. `received` gets
    the count of all bytes as they come. `address`: of its peer, if it is known."""

    def __init__(
        self,
        stream: ByteStream,
        limit: Callable[[], int] = lambda: LARGEST_FRAME,
        turns: trio.Semaphore | None = None,
        silence: float = SILENCE_SECONDS,
        held: Callable[[int], None] = lambda _size: None,
        received: Callable[[int], None] = lambda _count: None,
        address: str = "",
    ) -> None:
        self._stream = stream
        self._whose = _peer_of(stream), address
        self._received = received
        self._limit = limit
        self._turns = turns or trio.Semaphore(AT_ONCE)
        self._silence = silence
        self._held = held
        self._rest = _NOTHING

    async def next(self) -> memoryview | None:
        """The next message; None at a clean end. Raises BadFrame, StreamGone."""
        await trio.lowlevel.checkpoint()  # the bytes read already may hold a million
        if not self._rest:
            with _deadline(self._silence):
                self._rest = memoryview(await self._read())
            if not self._rest:
                return None
        with _deadline(FRAME_SECONDS):
            length, at = await self._length()
        allowed = self._limit()
        if length > allowed:
            raise FrameTooLarge(length, allowed)
        if at + length <= len(self._rest):
            return self._cut(at, at + length)
        with trio.CancelScope() as scope, HALF_READ.one(scope.cancel, *self._whose) as message:
            HALF_READ.received(message, len(self._rest), trio.current_time())
            if length <= LARGE_FRAME:
                return await self._frame(at, at + length, message)
            with _deadline(SILENCE_SECONDS):
                await self._turns.acquire()
            try:
                return await self._frame(at, at + length, message)
            finally:
                self._turns.release()
        raise StreamGone("too much lies here of messages that have not ended")

    async def _frame(self, at: int, end: int, message: GiveUp) -> memoryview:
        with _deadline(FRAME_SECONDS + (end // SLOWEST if end > LARGE_FRAME else 0)):
            await self._until_read(end, message)
        return self._cut(at, end)

    def _cut(self, at: int, end: int) -> memoryview:
        whole, self._rest = self._rest, self._rest[end:] or _NOTHING  # an empty window would hold the whole, too
        return whole[at:end]

    async def _until_read(self, end: int, message: GiveUp) -> None:
        parts: list[bytes | memoryview] = [self._rest]
        small: list[bytes] = []
        have = len(self._rest)
        while have < end:
            self._held(have)
            small.append(await self._more())
            have += len(small[-1])
            HALF_READ.received(message, len(small[-1]), trio.current_time())
            if len(small) == _MANY:  # a byte in an object of its own takes forty
                parts.append(b"".join(small))
                small.clear()
        self._rest = memoryview(b"".join([*parts, *small]))
        self._held(0)

    async def _length(self) -> tuple[int, int]:
        length = shift = at = 0
        while True:
            if at == len(self._rest):
                self._rest = memoryview(bytes(self._rest) + await self._more())
            byte = self._rest[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:
                return length, at
            if at == _LONGEST_LENGTH:
                raise BadFrame("the length of a message is too long")

    async def _more(self) -> bytes:
        data = await self._read()
        if not data:
            raise StreamGone("the stream ended inside a message")
        return data

    async def _read(self) -> bytes:
        """Some bytes, b"" at the end of the stream."""
        try:
            data = await self._stream.read(_READ)
        except EOFError:  # py-libp2p's StreamEOF is one
            return b""
        self._received(len(data))
        return data


def _peer_of(stream: ByteStream) -> PeerId:
    """NO_PEER: the stream is not one of libp2p's."""
    library = getattr(getattr(stream, "muxed_conn", None), "peer_id", None)
    return NO_PEER if library is None else peer_id(library)


async def write_frame(
    stream: ByteStream, message: bytes, piece: int = LARGEST_FRAME, took: Callable[[], None] = lambda: None
) -> None:
    """`took` is called after each piece of so many bytes that the peer took, each within WRITE_SECONDS. Raises
    StreamGone; then the stream is in the middle of a message, good for a reset only."""
    length, window = encode_varint(len(message)), memoryview(message)
    for at in range(0, max(1, len(message)), piece):
        with _deadline(WRITE_SECONDS):
            await stream.write(length + window[at : at + piece])
        took()
        length = b""


async def close_quietly(stream: ByteStream, *, reset: bool = False) -> None:
    """Ends a stream whatever state it is in, also while the task is being cancelled."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS), suppress(*GONE):
        await (stream.reset() if reset else stream.close())


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as error:
        raise StreamGone(f"silent for {seconds:.0f} s") from error
    except GONE as error:
        raise StreamGone(f"{type(error).__name__}: {error}") from error
