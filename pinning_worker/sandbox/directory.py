"""The sandbox's directory: one sandbox at a time, and nothing else in it.

A sandbox begins by deleting the index of the one before, so it refuses a directory, whoever owns it, that holds
anything which no sandbox has made. The lock is `sandbox.lock` (`adapters/machine/process_lock.py`).

Workers that sell on a sandbox may have their data here too, each under a name of its own (`worker-…`): the chain of a
sandbox is gone with it, and a worker that remembers it would wait for it for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pinning_worker.adapters.machine.process_lock import note_pid, taken_by

LOCK = "sandbox.lock"
WORKER = "worker-"
CONTROL_URL_FILE = "control-url"
CLOCK_OFFSET_FILE = "clock-offset"
_OURS = frozenset({LOCK, CONTROL_URL_FILE, CLOCK_OFFSET_FILE, f"{CLOCK_OFFSET_FILE}.new", "electrumx", "lost+found"})


class DirectoryRefused(Exception):
    """The directory holds something else. The text says what, and what to do."""


class DirectoryHeld(DirectoryRefused):
    """Another sandbox runs in it; its pid is in the text."""


@contextmanager
def hold_directory(path: Path) -> Iterator[None]:
    """Makes it, and locks it for this process while the block runs. Raises DirectoryRefused, DirectoryHeld, OSError."""
    if path.exists():
        _refuse_others(path)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path)
        note_pid(descriptor)
        yield
    finally:
        os.close(descriptor)


def _refuse_others(path: Path) -> None:
    if not path.is_dir():
        raise DirectoryRefused(f"{path} is no directory: let --dir name an empty or a new one")
    others = sorted(entry.name for entry in path.iterdir() if not _is_ours(entry.name))
    if others:
        raise DirectoryRefused(
            f"{path} holds {others[0]}, which no sandbox has made: let --dir name an empty or a new directory"
        )


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(WORKER)


def _lock(descriptor: int, path: Path) -> None:
    if (holder := taken_by(descriptor)) is not None:
        raise DirectoryHeld(
            f"another sandbox (pid {holder}) runs in {path}: stop it, or let --dir name another directory"
        )
