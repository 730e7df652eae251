"""One database: how many may use it at once, and which exception each of its errors becomes.

A transaction is a plain function of a Connection, run in a thread: writers one at a time, readers four. Rules:
- A function that returns is committed, one that raises is rolled back. A transaction that has begun is finished even
  if the calling task is cancelled meanwhile, and the task then learns its outcome: an acknowledged commit is a fact.
- SQLite: WAL, so that readers never wait; synchronous=FULL, so that a commit survives a power cut; writers use
  BEGIN IMMEDIATE, because SQLite refuses a reader that turns writer without waiting (measured: 10 of 60 got through).
- An ordinary failure (busy, no room, server away, a damaged page) is Trouble (`faults.py`); any other error of the
  database is a bug.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from pinning_worker.adapters.sql.faults import meaning_of, name_of, way_out
from pinning_worker.adapters.sql.rows import DamagedRow

Result = TypeVar("Result")

READERS = 4
_WAIT_SECONDS = 30  # for a write lock that another process holds: `migrate`, or a command line
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "journal_size_limit=67108864")
_WRITES = "writes"


class Database:
    """`url` is `sqlite:///<path>` or `postgresql://…`. Nothing opens before the first use. One run of trio may use it
    at a time."""

    def __init__(self, url: str) -> None:
        self._engine = engine_of(url)
        self._one_writer = trio.CapacityLimiter(1)
        self._few_readers = trio.CapacityLimiter(READERS)

    async def read(self, ask: Callable[[Connection], Result]) -> Result:
        """Runs `ask` on one consistent snapshot. Raises Trouble."""
        return await trio.to_thread.run_sync(self._transact, ask, False, limiter=self._few_readers)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Raises Trouble or DiskFull, and then nothing has changed. Exceptions of `change` pass through."""
        return await trio.to_thread.run_sync(self._transact, change, True, limiter=self._one_writer)

    async def close(self) -> None:
        """Closes every connection, even if the calling task is already cancelled."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._engine.dispose)

    def _transact(self, work: Callable[[Connection], Result], writes: bool) -> Result:
        try:
            with self._engine.connect().execution_options(**{_WRITES: writes}) as connection, connection.begin():
                return work(connection)
        except DamagedRow as error:
            raise DamagedRow(f"{error}. {name_of(self._engine.url)} is damaged: {way_out(self._engine.url)}") from error
        except DBAPIError as error:
            meaning = meaning_of(error, self._engine.url)
            if meaning is None:
                raise
            raise meaning from error


@asynccontextmanager
async def open_database(url: str) -> AsyncGenerator[Database, None]:
    """Closes the database on every exit."""
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


def engine_of(url: str) -> Engine:
    """Makes an engine that follows the module's rules. Raises ValueError for any other kind of database."""
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite_engine(parsed)
        case "postgresql":
            psycopg3 = parsed.set(drivername="postgresql+psycopg")
            return create_engine(psycopg3, pool_size=READERS + 1, max_overflow=0, pool_pre_ping=True)
        case other:
            raise ValueError(f"the database is {other}: only sqlite:///<path> and postgresql://… are known")


def _sqlite_engine(url: URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise ValueError(
            "SQLite in memory is one database for each thread: name a file, as in sqlite:////srv/pinning.db"
        )
    wait = {"timeout": _WAIT_SECONDS, "check_same_thread": False}
    engine = create_engine(url, poolclass=QueuePool, pool_size=READERS + 1, max_overflow=0, connect_args=wait)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """Turns off the driver's implicit transactions: `_begin` starts each one."""
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
