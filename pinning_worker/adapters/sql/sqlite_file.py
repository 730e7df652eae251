"""Checks the file of a SQLite database before anything opens it to write: is it there, ours, writable, whole?

Everything here reads only: another program's file is not even switched to write-ahead logging. A database on a server
passes every check: the server itself reports its faults. These functions block.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from pinning_worker.adapters.machine.disk_faults import reason_of
from pinning_worker.adapters.sql.faults import damaged, not_ours_to_use, sqlite_meaning
from pinning_worker.ports.world import NeedsMending

REVISION_TABLE = "alembic_version"
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"


def sqlite_path(url: str) -> Path | None:
    """None for any other database."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def is_there(url: str) -> bool:
    """Raises NeedsMending if we have no right to look."""
    path = sqlite_path(url)
    try:
        return path is None or path.exists()
    except OSError as error:
        raise not_ours_to_use(str(path), reason_of(error)) from error


def require_ours(url: str) -> None:
    """Accepts a file that is missing or empty: it will be ours. Raises NeedsMending, Trouble."""
    path = sqlite_path(url)
    if path is None or not is_there(url):
        return
    with _reading(path) as connection:
        tables = [str(name) for (name,) in connection.execute(_TABLES)]
    if tables and REVISION_TABLE not in tables:
        raise NeedsMending(
            f"the database {path} is another program's (it has a table {tables[0]}): let PINNING_DATABASE_URL name ours"
        )


def require_writable(url: str) -> None:
    """Raises NeedsMending."""
    path = sqlite_path(url)
    if path is None or not is_there(url):
        return
    for place in (path.parent, path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if os.path.exists(place) and not os.access(place, os.W_OK):
            raise not_ours_to_use(str(path), f"{place} cannot be written")


def require_whole(url: str) -> None:
    """Reads every page, which takes as long as the disk does. Stops at the first damage. Raises NeedsMending."""
    path = sqlite_path(url)
    if path is None or not is_there(url):
        return
    with _reading(path) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise damaged(str(path), " ".join(str(found).split()))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Raises NeedsMending, Trouble."""
    if path.is_dir():
        raise NeedsMending(
            f"the database {path} is a folder: let PINNING_DATABASE_URL name a file in it, or another one"
        )
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        meaning = sqlite_meaning(error, str(path))
        if meaning is None:
            raise
        raise meaning from error
