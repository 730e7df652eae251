"""How much a peer may have under way to us on one stream: what its line carries in a second.

What was sent and has not arrived lies in the sender's buffers, and whatever else it says waits behind it: its pings
too, twice for each of them, and js-libp2p hangs up when one takes five seconds. So a window follows the line: it
doubles when the line carries twice as much in a second, and falls to what it does carry when that is less.

Rules: between SMALLEST and `largest`. A line is measured over half a window that came without a pause of PAUSE seconds
in it: who says little is not slow, and if it was thought so, the next half windows tell. Where the muxer fixes the
first window of a stream (yamux: 256 KiB), a smaller one holds from there on: nothing is granted until what was sent has
come.
"""

from __future__ import annotations

SMALLEST = 64 * 1024
SECONDS = 1.0  # of the line, in one window
PAUSE = 10.0


class StreamWindow:
    """`size`: of the window. Times are seconds of any clock that does not run backwards."""

    def __init__(self, size: int, largest: int, now: float) -> None:
        self.size = size
        self._largest = largest
        self._since = self._last = now
        self._came = 0

    def came(self, count: int, now: float) -> None:
        """Bytes were taken off the stream."""
        if now - self._last > PAUSE:
            self._since, self._came = now, 0  # how long these took is not known
        else:
            self._came += count
        self._last = now
        if self._came >= self.size // 2:
            self._follow(self._came, now - self._since)
            self._since, self._came = now, 0

    def _follow(self, count: int, seconds: float) -> None:
        if count * SECONDS >= 2 * self.size * seconds:
            self.size = min(2 * self.size, self._largest)
        elif count * SECONDS < self.size * seconds:
            self.size = max(SMALLEST, int(count * SECONDS / seconds))

    def credit(self, granted: int) -> int:
        """What to grant beside `granted`, which is under way or not taken yet: half a window or more, or nothing."""
        lacks = self.size - granted
        return lacks if lacks >= self.size // 2 else 0
