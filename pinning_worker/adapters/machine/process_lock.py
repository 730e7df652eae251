"""One process at a time: flock(2) on a file that holds the pid of its holder, or on a folder, without a pid.

The kernel releases the lock when the process ends, however it ends, so there is no stale lock to remove.
"""

from __future__ import annotations

import fcntl
import os


def taken_by(descriptor: int) -> str | None:
    """Takes the lock until the descriptor is closed, and returns None; else returns the holder's pid, or `unknown`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _noted_pid(descriptor) or "unknown"
    return None


def _noted_pid(descriptor: int) -> str:
    try:
        return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    except IsADirectoryError:
        return ""


def note_pid(descriptor: int) -> None:
    """Raises OSError."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
