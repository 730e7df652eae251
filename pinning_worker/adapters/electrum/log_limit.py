"""A limit for log lines that a server could cause at any pace."""

from __future__ import annotations

import trio

REPEAT_SECONDS = 600.0


class LogLimit:
    """Allows one line about each subject in REPEAT_SECONDS. The caller's subjects are few."""

    def __init__(self) -> None:
        self._closed_until: dict[str, float] = {}

    def allows(self, subject: str) -> bool:
        """Whether to log a line now. If so, the next one about this subject has to wait."""
        now = trio.current_time()
        if now < self._closed_until.get(subject, 0.0):
            return False
        self._closed_until[subject] = now + REPEAT_SECONDS
        return True
