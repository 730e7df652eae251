"""A write that is cancelled must not end the other streams of its connection.

The fault: a deadline that passes, or a circuit whose other side has gone, while a frame is on its way: the whole
connection is dead, with all streams on it, pubsub and reservations too. Why: a frame is encrypted under the next number
of the connection and then written by the task of its sender; cancelled in between, the frame is lost or cut and
its number is spent, and nothing that comes after it can be decrypted. Where: `Yamux._write_frame`.

The cure: a frame that has its turn is written by a task of the connection, to its end. A sender may stop waiting for
its turn, or for the end, at any time. A connection that takes no frame for JAMMED_SECONDS is ended: the library resets
streams without a deadline, and would wait for ever.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.stream_muxer.yamux.yamux import Yamux

from pinning_worker.adapters.p2p.cures.once import replace

JAMMED_SECONDS = 120.0

Write = Callable[[Yamux, bytes], Awaitable[None]]


def mend() -> None:
    replace(Yamux, "_write_frame", _by_the_connection)


class _Frame:
    """`error` is None once it was written whole."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.over = trio.Event()
        self.error: Exception | None = ConnectionClosedError("the connection ended before the frame was written")


def _by_the_connection(stock: Write) -> Write:
    async def mended(self: Yamux, data: bytes) -> None:
        if self._nursery is None:
            raise ConnectionClosedError("the connection has not begun")
        turn: trio.Semaphore = self.__dict__.setdefault("_turn_to_write", trio.Semaphore(1))
        await turn.acquire()
        frame = _Frame(data)
        try:
            self._nursery.start_soon(_write_whole, self, frame, turn)
        except RuntimeError as error:  # the nursery has ended, and the connection with it
            turn.release()
            raise ConnectionClosedError("the connection has ended") from error
        await frame.over.wait()
        if frame.error is not None:
            raise frame.error

    return mended


async def _write_whole(connection: Yamux, frame: _Frame, turn: trio.Semaphore) -> None:
    assert connection._nursery is not None
    try:
        with trio.move_on_after(JAMMED_SECONDS) as patience:
            await connection.secured_conn.write(frame.data)
            frame.error = None
        if patience.cancelled_caught:
            connection._nursery.cancel_scope.cancel()
    except Exception as error:  # noqa: BLE001  handed to whoever waits for it
        frame.error = error
    finally:
        turn.release()
        frame.over.set()
