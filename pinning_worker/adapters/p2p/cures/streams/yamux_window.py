"""A connection must not die on big blocks, nor a slow one on what it was asked for.

The fault: "announced oversized DATA frame", in the middle of a fast transfer. Why: a stream's receive window tunes
itself up to 16 MiB and one read more, js-yamux may use the whole window in one frame, and frames over 16 MiB are
refused. And a peer behind a slow line hangs up in the middle of each block: its window is at its largest after the
three short lines with which a stream begins, all of that is under way at once, and its pings wait behind it. Why: it
grows with every read that comes within four round trips of the one before, however little was read, and round trips
are the longer the more is under way. Where: `YamuxStream._auto_tune_and_send_window_update` and
`_apply_autotune_epoch`, against `MAX_WINDOW_SIZE` in `Yamux.handle_incoming`.

The cure: windows follow what the line carries (bounds/stream_window.py), up to 2 MiB. That was as fast, and it bounds
what a stream can make us hold. A new stream begins with what its connection's last one came to. The windows of a
connection grow to MOST_OF_ONE together (`bounds/unread.py`); `yamux_frames` asks here how much room to tell, and ends
the connection of a peer that sends more than that.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import trio
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from pinning_worker.adapters.p2p.bounds import unread
from pinning_worker.adapters.p2p.bounds.defaults import STREAM_WINDOW
from pinning_worker.adapters.p2p.bounds.stream_window import StreamWindow
from pinning_worker.adapters.p2p.cures.once import replace

_largest = STREAM_WINDOW

Update = Callable[..., Awaitable[None]]

_windows: WeakKeyDictionary[YamuxStream, StreamWindow] = WeakKeyDictionary()
_sizes: WeakKeyDictionary[Yamux, int] = WeakKeyDictionary()


def mend() -> None:
    replace(YamuxStream, "_auto_tune_and_send_window_update", _as_the_line_carries)


def grow_to(size: int) -> None:
    """From now on, in this process: no stream's window grows over `size` bytes (it begins with 256 KiB)."""
    global _largest  # noqa: PLW0603  the library's streams know no host that could say it
    _largest = size


def room_to_tell(stream: YamuxStream) -> int:
    """The bytes that the peer may send beyond the window it knows: the delta of the next window update. 0: none is
    due."""
    lying = len(stream.conn.stream_buffers.get(stream.stream_id, b""))
    room = _window(stream).credit(stream.recv_window + lying)
    stream.recv_window += room
    return room


def follow(stream: YamuxStream, count: int) -> None:
    """So many bytes of it were read: its window, and the target of the stream's, are what that tells of the line."""
    window = _window(stream)
    before = window.size
    window.received(count, trio.current_time())
    if window.size > before and not _has_room(stream, window.size):
        window.size = before
    _sizes[stream.conn] = stream.target_recv_window = window.size


def _window(stream: YamuxStream) -> StreamWindow:
    window = _windows.get(stream)
    if window is None:
        size = min(_sizes.get(stream.conn, stream.target_recv_window), _largest)
        window = _windows[stream] = StreamWindow(size, _largest, trio.current_time())
    return window


def _has_room(stream: YamuxStream, size: int) -> bool:
    """May its window be so large, among the others of its connection?"""
    others = sum(each.target_recv_window for each in stream.conn.streams.values() if each is not stream)
    return others + size <= unread.MOST_OF_ONE


def _as_the_line_carries(_stock: Update) -> Update:
    async def mended(self: YamuxStream, *, bytes_read: int = 0) -> None:
        async with self.window_lock:
            follow(self, bytes_read)
            room = room_to_tell(self)
        if room:
            await self.send_window_update(room, skip_lock=True)

    return mended
