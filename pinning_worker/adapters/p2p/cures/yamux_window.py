"""A connection must not die on big blocks, nor a slow one on what it was asked for.

What happens: "announced oversized DATA frame", in the middle of a fast transfer. Why: a stream's receive window tunes
itself up to 16 MiB and one read more, js-yamux may use the whole window in one frame, and frames over 16 MiB are
refused. And a peer behind a slow line hangs up in the middle of each block: its window is at its largest after the
three short lines with which a stream begins, all of that is under way at once, and its pings wait behind it. Why: it
grows with every read that comes within four round trips of the one before, however little was read, and round trips
are the longer the more is under way. Where: `YamuxStream._auto_tune_and_send_window_update` and
`_apply_autotune_epoch`, against `MAX_WINDOW_SIZE` in `Yamux.handle_incoming`.

The cure: windows follow what the line carries (bounds/stream_window.py), up to 2 MiB. That was as fast, and it bounds
what a stream can make us hold. A new stream begins with what its connection's last one came to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import trio
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from pinning_worker.adapters.p2p.bounds.stream_window import StreamWindow
from pinning_worker.adapters.p2p.cures.once import replace

LARGEST_WINDOW = 2 * 1024 * 1024

Update = Callable[..., Awaitable[None]]

_windows: WeakKeyDictionary[YamuxStream, StreamWindow] = WeakKeyDictionary()
_sizes: WeakKeyDictionary[Yamux, int] = WeakKeyDictionary()


def mend() -> None:
    replace(YamuxStream, "_auto_tune_and_send_window_update", _as_the_line_carries)


def grow_to(size: int) -> None:
    """From now on, in this process: no stream's window grows over `size` bytes (it begins with 256 KiB)."""
    global LARGEST_WINDOW  # noqa: PLW0603  the library's streams know no host that could say it
    LARGEST_WINDOW = size


def follow(stream: YamuxStream, count: int) -> StreamWindow:
    """Its window, after so many bytes of it were read: the target of the stream's is that from now on."""
    now = trio.current_time()
    window = _windows.get(stream)
    if window is None:
        size = min(_sizes.get(stream.conn, stream.target_recv_window), LARGEST_WINDOW)
        window = _windows[stream] = StreamWindow(size, LARGEST_WINDOW, now)
    window.came(count, now)
    _sizes[stream.conn] = stream.target_recv_window = window.size
    return window


def _as_the_line_carries(_stock: Update) -> Update:
    async def mended(self: YamuxStream, *, bytes_read: int = 0) -> None:
        async with self.window_lock:
            window = follow(self, bytes_read)
            credit = window.credit(self.recv_window + len(self.conn.stream_buffers.get(self.stream_id, b"")))
            self.recv_window += credit
        if credit:
            await self.send_window_update(credit, skip_lock=True)

    return mended
