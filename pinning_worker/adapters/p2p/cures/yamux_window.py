"""A connection must not die on big blocks.

What happens: "announced oversized DATA frame", in the middle of a fast transfer. Why: a stream's receive window tunes
itself up to 16 MiB and one read more, js-yamux may use the whole window in one frame, and frames over 16 MiB are
refused. Where: `YamuxStream._apply_autotune_epoch` against `MAX_WINDOW_SIZE` in `Yamux.handle_incoming`.

The cure: windows grow to 2 MiB. That was as fast, and it bounds what a stream can make us hold. The windows of a
connection grow to MOST_OF_ONE together (`bounds/unread.py`); `yamux_frames` ends whoever sends more than that.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from pinning_worker.adapters.p2p.bounds import unread
from pinning_worker.adapters.p2p.cures.once import replace

LARGEST_WINDOW = 2 * 1024 * 1024

Tune = Callable[[YamuxStream, int], int]


def mend() -> None:
    replace(YamuxStream, "_apply_autotune_epoch", _grow_to_the_cap)


def grow_to(size: int) -> None:
    """From now on, in this process: no stream's window grows over `size` bytes (it begins with 256 KiB)."""
    global LARGEST_WINDOW  # noqa: PLW0603  the library's streams know no host that could say it
    LARGEST_WINDOW = size


def room_to_tell(stream: YamuxStream, lying: int) -> int:
    """So much more its peer may send than it was told, after something of it was read and so much lies there still."""
    room = unread.room_to_tell(stream.recv_window, lying, stream.target_recv_window)
    if room:
        stream.recv_window += room
        room += stream._apply_autotune_epoch(lying)
    return room


def _grow_to_the_cap(stock: Tune) -> Tune:
    def mended(self: YamuxStream, buffered: int) -> int:
        if self.target_recv_window * 2 > LARGEST_WINDOW or not _has_room(self):
            self.epoch_start = trio.current_time()
            return 0
        return stock(self, buffered)

    return mended


def _has_room(stream: YamuxStream) -> bool:
    """May it be twice as large, among the others of its connection?"""
    others = sum(each.target_recv_window for each in stream.conn.streams.values())
    return others + stream.target_recv_window <= unread.MOST_OF_ONE
