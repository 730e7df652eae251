"""Sorts errors of the disk at a start: those that may pass, and those that somebody must mend first.

A path with wrong rights or of the wrong kind stays wrong until somebody mends it; any other error may pass.
"""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path

from pinning_worker.ports.world import NeedsMending, Trouble

_NO_RIGHTS = frozenset({errno.EACCES, errno.EPERM})
_STAYS_WRONG = _NO_RIGHTS | {errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP}


def trouble_of(what: str, error: OSError) -> Trouble:
    """`what` is the beginning of the sentence, with the file in it. The path that the system names is added."""
    kind = NeedsMending if error.errno in _STAYS_WRONG else Trouble
    return kind(f"{what}: {reason_of(error)}")


def reason_of(error: OSError) -> str:
    """For example `Permission denied: /srv/blocks/7f (this is user pinning-worker)`."""
    named = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    us = f" (this is user {user_name()})" if error.errno in _NO_RIGHTS else ""
    return f"{error.strerror or error}{named}{us}"


def is_usable(place: Path) -> bool:
    """Whether this user may read and write it, and enter it if it is a folder."""
    return os.access(place, os.R_OK | os.W_OK | (os.X_OK if place.is_dir() else 0))


def user_name(number: int | None = None) -> str:
    """The name of that user, by default of the effective one."""
    user = os.geteuid() if number is None else number
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
