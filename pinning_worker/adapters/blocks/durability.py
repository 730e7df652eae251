"""How files survive a power cut: a few by `fsync` of each and of its folder, many by one `syncfs`.

An fsync waits for the disk's journal each time, so a closure of ten thousand blocks would take minutes; `syncfs` writes
back the whole file system at once, other programs' data included, which a handful of blocks should not wait for. Since
Linux 5.8 syncfs reports failed writes; before that, only the audit that follows would find them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Sequence

A_FEW = 16


def make_durable(files: Sequence[str], folder: str) -> None:
    """Puts these files (or folders) of `folder`'s file system, and their names, on the disk. Ignores missing ones.

    Raises OSError.
    """
    if len(files) > A_FEW and sys.platform == "linux":
        _syncfs_of(folder)
    else:
        _fsync_each([*files, *sorted({os.path.dirname(file) for file in files})])


def _fsync_each(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _syncfs_of(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        syncfs(descriptor)
    finally:
        os.close(descriptor)


def syncfs(descriptor: int) -> None:
    """The system call of Linux, which Python lacks. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
