"""The reasons for a failed back-up or restore. Each text is for a person: it names the file and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class WrongPlace(Exception):
    """A folder or a setting needs mending."""


class Damaged(Exception):
    """Data to be copied are damaged or incomplete."""


class OutOfReach(Exception):
    """The disk is full, or cannot be read or written."""


@contextmanager
def disk_trouble(doing: str) -> Iterator[None]:
    """Turns the operating system's errors into OutOfReach. `doing`: such as `the backup in /srv/backup`."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        raise OutOfReach(f"{doing} cannot go on: {where}{error.strerror}") from error
