"""The clock of this machine; on doichain-regtest moved by the sandbox, so that months can pass in a demo.

The sandbox writes the offset (whole seconds) into a file, atomically; the clock reads it at most five times a second. A
settings check keeps the file away from other networks.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
import trio

LOOK_AGAIN_SECONDS = 0.2

log = structlog.get_logger()


class SystemClock:
    """Port `Clock`. With `clock_offset_file` None it returns the machine's time."""

    def __init__(self, clock_offset_file: Path | None = None) -> None:
        self._clock_offset_file = clock_offset_file
        self._offset = timedelta(0)
        self._looked_at = float("-inf")

    def now(self) -> datetime:
        """Returns an aware datetime in UTC."""
        if self._clock_offset_file is not None:
            self._follow(self._clock_offset_file)
        return datetime.now(UTC) + self._offset

    async def sleep(self, seconds: float) -> None:
        """Sleeps for that many seconds. A jump that the sandbox makes counts as passed time."""
        if self._clock_offset_file is None:
            return await trio.sleep(seconds)
        end, offset = trio.current_time() + seconds, self._offset
        while (left := end - trio.current_time()) > 0:
            await trio.sleep(min(left, LOOK_AGAIN_SECONDS))
            self._follow(self._clock_offset_file)
            end -= max(0, (self._offset - offset).total_seconds())
            offset = self._offset

    def _follow(self, clock_offset_file: Path) -> None:
        at = trio.current_time()
        if at - self._looked_at < LOOK_AGAIN_SECONDS:
            return
        self._looked_at = at
        offset = _read_offset(clock_offset_file)
        if offset is not None and offset != self._offset:
            log.warning("clock.moved_by_sandbox", offset=str(offset))
            self._offset = offset


def _read_offset(path: Path) -> timedelta | None:
    """None if there is no offset to read (the sandbox has gone, or the file is not one); the last offset then stays."""
    try:
        return timedelta(seconds=int(path.read_text("ascii")))
    except (OSError, ValueError, OverflowError):
        return None
