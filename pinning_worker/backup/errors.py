"""Why there is no back-up, or no restore. Each text is for a person: it names the file, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class WrongPlace(Exception):
    """A folder or a setting needs mending."""


class Damaged(Exception):
    """What was to be copied is not whole."""


class OutOfReach(Exception):
    """The disk is full, or cannot be read or written."""


@contextmanager
def disk_trouble(doing: str) -> Iterator[None]:
    """What the operating system refuses becomes OutOfReach. `doing`: such as `the backup in /srv/backup`."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        raise OutOfReach(f"{doing} cannot go on: {where}{error.strerror}") from error
