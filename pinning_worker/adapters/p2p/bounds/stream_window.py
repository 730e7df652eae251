"""How much a peer may have under way to us on one stream: as much as its line carries in a second.

Bytes that were sent and have not arrived lie in the sender's buffers, and all its other messages wait behind them: its
pings too, twice for each of them, and js-libp2p disconnects when one takes five seconds. So a window follows the line:
it doubles when the line carries twice as much in a second, and falls to what the line does carry when that is less.

Rules: between SMALLEST and `largest`. A line is measured over half a window that came without a pause of PAUSE_SECONDS
in it: a peer that sends little is not slow, and if the window took it for slow, the next half windows correct that.
Where the muxer fixes the first window of a stream (yamux: 256 KiB), a smaller one holds from there on: nothing is
granted until the bytes sent have come.
"""

from __future__ import annotations

SMALLEST = 64 * 1024
SECONDS = 1.0  # of the line, in one window
PAUSE_SECONDS = 10.0


class StreamWindow:
    """`size`: of the window. Times are seconds of any clock that does not run backwards."""

    def __init__(self, size: int, largest: int, now: float) -> None:
        self.size = size
        self._largest = largest
        self._since = self._last = now
        self._received = 0

    def received(self, count: int, now: float) -> None:
        """Bytes were taken off the stream."""
        if now - self._last > PAUSE_SECONDS:
            self._since, self._received = now, 0  # the time that these took is not known
        else:
            self._received += count
        self._last = now
        if self._received >= self.size // 2:
            self._follow(self._received, now - self._since)
            self._since, self._received = now, 0

    def _follow(self, count: int, seconds: float) -> None:
        if count * SECONDS >= 2 * self.size * seconds:
            self.size = min(2 * self.size, self._largest)
        elif count * SECONDS < self.size * seconds:
            self.size = max(SMALLEST, int(count * SECONDS / seconds))

    def credit(self, granted: int) -> int:
        """The bytes to grant beside `granted`, which are under way or not taken yet: at least half a window, or 0."""
        lacks = self.size - granted
        return lacks if lacks >= self.size // 2 else 0
