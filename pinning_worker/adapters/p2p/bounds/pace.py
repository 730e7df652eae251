"""How much we ask of one peer at a time: as much as its line carries in a second.

Blocks that we asked for and that have not come lie in the giver's buffers, and in its line; all its other messages wait
behind them. So we ask for nothing ahead on a line whose speed is not known yet; its first block shows it. A line is
measured while the peer owes us something, over a second or until all of that has come.

On a line so slow that a peer's ping may wait too long behind a block (js-libp2p disconnects after five seconds, and its
ping goes there and back twice), we ask for nothing while a ping is being answered, nor just before the next one is due.

Rules: we may always ask for one block, however large; for FLOOR bytes as well, however slow the line seems, for a round
trip is not slowness; for MOST bytes at the most, for the giver may hold all of it in memory. Bytes that came within
less than a second give a lower bound of the line's speed; fewer than WORTH_MEASURING show nothing.
"""

from __future__ import annotations

from pinning_worker.domain.content.multihash import Multihash

SECONDS = 1.0
FLOOR = 64 * 1024
MOST = 8 * 1024 * 1024
WORTH_MEASURING = 32 * 1024
BURST = 256 * 1024  # of a block, at once: yamux's first window, which lies in the line before we can grant less
BEHIND = 64 * 1024  # the bytes that lie there later (stream_window.SMALLEST)
PING_EVERY_SECONDS = 10.0  # js-libp2p's, since its start
PING_PATIENCE_SECONDS = 5.0
PING_LATE_SECONDS = 2.0  # then it will not come


class Pace:
    """The pace of one peer. `rate`: bytes a second, 0.0 while it is not known. Times are those of a clock that runs
    forward."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._owed: dict[Multihash, int] = {}
        self._since = 0.0
        self._received = 0
        self._pinged: float | None = None  # when its last ping began
        self._answering = False

    @property
    def owed(self) -> int:
        """Bytes that it owes us, as far as their sizes can be guessed."""
        return sum(self._owed.values())

    @property
    def room(self) -> int:
        return max(FLOOR, min(MOST, int(self.rate * SECONDS)))

    def has_room(self, size: int) -> bool:
        return not self._owed or self.owed + size <= self.room

    def is_quiet_before(self, now: float) -> bool:
        """Whether a ping of the peer is under way or due, on a line where it would wait too long behind a block."""
        if not self.rate or self._pinged is None:
            return False
        first, then, since = BURST / self.rate, BEHIND / self.rate, now - self._pinged
        if self._answering:
            return first + then > PING_PATIENCE_SECONDS / 2 and since < 2 * PING_PATIENCE_SECONDS
        # Its last one may have been under way for `then` when it began.
        ahead = first + 2 * then - PING_PATIENCE_SECONDS
        return ahead > 0 and PING_EVERY_SECONDS - ahead - then < since < PING_EVERY_SECONDS + PING_LATE_SECONDS

    def ping_began(self, now: float) -> None:
        self._pinged, self._answering = now, True

    def ping_ended(self) -> None:
        self._answering = False

    def asked(self, multihash: Multihash, size: int, now: float) -> None:
        """It now owes us that block, of about so many bytes."""
        if not self._owed:
            self._since, self._received = now, 0
        self._owed[multihash] = size

    def received(self, count: int, now: float) -> None:
        """Bytes of it came, whole blocks or parts of them."""
        self._received += count
        if self._owed and now - self._since >= SECONDS:
            self._measure(now)

    def settled(self, multihash: Multihash, now: float) -> None:
        """It owes us that block no more: it came, or is wanted no more."""
        if self._owed.pop(multihash, None) is not None and not self._owed:
            self._measure(now)

    def disconnected(self) -> None:
        """The connection ended: the blocks that it owed will not come. The speed of its line stays known."""
        self._owed.clear()
        self._answering = False

    def _measure(self, now: float) -> None:
        seconds, received = now - self._since, self._received
        if received < WORTH_MEASURING:
            return  # the measure goes on
        rate = received / max(seconds, 1e-3)
        self.rate = rate if seconds >= SECONDS else max(self.rate, rate)
        self._since, self._received = now, 0
