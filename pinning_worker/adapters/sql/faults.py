"""Turns errors of the database into Trouble that may pass, DiskFull, or NeedsMending for a file to be mended.

Any other error is a defect of ours, and gives None. The driver's words stand in brackets, so that a search finds them.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError

from pinning_worker.adapters.machine.disk_faults import user_name
from pinning_worker.ports.world import DiskFull, NeedsMending, Trouble

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR})
_NOT_OURS_TO_USE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
_NOT_UTF8 = "Could not decode to UTF-8"  # without a code: pysqlite raises it itself
_PG_DISK_FULL = "53100"
_PG_DAMAGED = ("XX001", "XX002")  # data_corrupted, index_corrupted
WAY_OUT = (
    "stop the worker, move the file and its -wal and -shm aside, and put the newest backup in its place; without one "
    "`pinning-worker migrate` makes an empty database. `pinning-worker recover` then brings it up to date"
)


def meaning_of(error: DBAPIError, url: URL) -> Trouble | None:
    """The exception for this error; None for a defect of ours."""
    inner = error.orig
    if isinstance(inner, sqlite3.Error):
        return sqlite_meaning(inner, url.database or "")
    state = getattr(inner, "sqlstate", None)
    if state == _PG_DISK_FULL:
        return DiskFull(f"no room for the database: {inner}")
    if state in _PG_DAMAGED:
        return NeedsMending(f"{name_of(url)} is damaged ({inner}): {way_out(url)}")
    return Trouble(f"{name_of(url)} is out of reach: {inner}") if isinstance(error, OperationalError) else None


def name_of(url: URL) -> str:
    """The file, or the server's database without its password."""
    return f"the database {url.database if url.get_backend_name() == 'sqlite' else url.render_as_string()}"


def way_out(url: URL) -> str:
    """The remedy for damage."""
    return (
        WAY_OUT if url.get_backend_name() == "sqlite" else "put its newest backup back, then `pinning-worker recover`"
    )


def sqlite_meaning(error: sqlite3.Error, file: str) -> Trouble | None:
    """The same for an error of the SQLite driver itself."""
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:  # the higher bits hold the extended code
        case sqlite3.SQLITE_FULL:
            return DiskFull(f"no room for the database {file}: {error}")
        case sqlite3.SQLITE_CORRUPT:
            return damaged(file, str(error))
        case sqlite3.SQLITE_NOTADB:
            return NeedsMending(
                f"{file} is no SQLite database: let PINNING_DATABASE_URL name ours ({error}). If this file was ours: "
                f"{WAY_OUT}"
            )
        case code if code in _NOT_OURS_TO_USE:
            return not_ours_to_use(file, str(error))
        case code if code in _BUSY:
            return Trouble(f"the database {file} is out of reach: {error}")
        case _:
            return damaged(file, str(error)) if _NOT_UTF8 in str(error) else None


def damaged(file: str, why: str) -> NeedsMending:
    return NeedsMending(f"the database {file} is damaged ({why}): {WAY_OUT}")


def not_ours_to_use(file: str, why: str) -> NeedsMending:
    return NeedsMending(
        f"the database {file} cannot be opened for reading and writing by user {user_name()} ({why}): this file and "
        "those beside it that end in -wal and -shm must be that user's, and so must their folder, on a disk that can "
        "be written"
    )
