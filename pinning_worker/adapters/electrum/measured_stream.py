"""Limits the WebSocket traffic beside messages: pings, pongs, and messages fragmented without end.

The library handles these frames and reports nothing; millions of two bytes each keep it busy for as long as the server
likes. So this stream counts the bytes of the connection against the bytes of the messages that came out of them. The
difference is a message on its way, within its own limit, or frames without content.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

MOST_BESIDE = 128 << 10  # bytes outside of messages, at any moment
BESIDE_A_MESSAGE = 512  # bytes forgiven with each message: its header, and the pings of a minute
AT_ONCE = 8 << 10  # bytes handed to the library: as frames of two bytes they take some milliseconds


class MeasuredStream(trio.abc.Stream):
    """`limit` returns the largest size of the next message. `is_flooded` is set once the traffic beside messages
    exceeded its bound."""

    def __init__(self, stream: trio.abc.Stream, limit: Callable[[], int]) -> None:
        self._stream = stream
        self._beside = 0
        self.limit = limit
        self.is_flooded = False

    def note_message(self, size: int) -> None:
        self._beside = max(0, self._beside - size - size // 16 - BESIDE_A_MESSAGE)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Raises BrokenResourceError, ClosedResourceError."""
        data = bytes(await self._stream.receive_some(min(max_bytes or AT_ONCE, AT_ONCE)))
        self._beside += len(data)
        if self._beside > self.limit() + MOST_BESIDE:
            self.is_flooded = True
            raise trio.BrokenResourceError("more beside the messages than is ever needed")
        return data

    async def send_all(self, data: bytes | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()
