"""What an error of the disk means to whoever starts a worker: try again later, or mend something first.

A path whose rights or kind are wrong stays wrong until somebody mends it; anything else may pass.
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
    """`what`: the beginning of the sentence, with the file in it. The path that the system names is added."""
    kind = NeedsMending if error.errno in _STAYS_WRONG else Trouble
    return kind(f"{what}: {reason_of(error)}")


def reason_of(error: OSError) -> str:
    """`Permission denied: /srv/blocks/7f (this is user pinning-worker)`"""
    named = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    us = f" (this is user {user_name()})" if error.errno in _NO_RIGHTS else ""
    return f"{error.strerror or error}{named}{us}"


def is_usable(place: Path) -> bool:
    """Whether this user may read and write it, and go into it where it is a folder."""
    return os.access(place, os.R_OK | os.W_OK | (os.X_OK if place.is_dir() else 0))


def user_name(number: int | None = None) -> str:
    """Of that user, else of the one whose rights count here."""
    user = os.geteuid() if number is None else number
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
