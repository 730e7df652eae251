"""The store from another process while the worker runs: `ask` reads one answer, `change_books` writes. Neither keeps a
lock: the books compare and swap, and the worker reads them at each use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from pinning_worker.commands.telling import ExitCode, telling

if TYPE_CHECKING:
    from datetime import datetime

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.database import Database
    from pinning_worker.adapters.sql.name_index import SqlNameIndex
    from pinning_worker.settings import StoreSettings

Answer = TypeVar("Answer")


def ask(settings: StoreSettings, question: Callable[[SqlBooks, datetime], Awaitable[Answer]]) -> Answer:
    """Returns `question(books, now)`; `now` is the worker's time. Raises Told."""
    from pinning_worker.adapters.machine.clock import SystemClock
    from pinning_worker.adapters.sql.books import SqlBooks

    def about_books(database: Database) -> Awaitable[Answer]:
        return question(SqlBooks(database), SystemClock(settings.clock_offset_file).now())

    return ask_database(settings, about_books)


def ask_index(settings: StoreSettings, question: Callable[[SqlNameIndex], Awaitable[Answer]]) -> Answer:
    """Returns `question(index)`. Raises Told."""
    from pinning_worker.adapters.sql.name_index import SqlNameIndex

    return ask_database(settings, lambda database: question(SqlNameIndex(database)))


def ask_database(settings: StoreSettings, question: Callable[[Database], Awaitable[Answer]]) -> Answer:
    """Raises Told."""
    import trio

    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.adapters.sql.migrate import require_current
    from pinning_worker.logs import configure_logs

    async def answer() -> Answer:
        async with open_database(settings.database_url) as database:
            return await question(database)

    configure_logs("error", settings.log_format)  # standard output is for the answer alone
    with telling(store_outcomes()):
        require_current(settings.database_url)
        return trio.run(answer)


def change_books(settings: StoreSettings, work: Callable[[SqlBooks, datetime], Awaitable[Answer]]) -> Answer:
    """Like `ask`, with books that also write the journals beside the blocks, which must be their own. Raises Told."""
    import trio

    from pinning_worker.adapters.blocks.rights import require_usable
    from pinning_worker.adapters.machine.clock import SystemClock
    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.adapters.sql.migrate import require_current
    from pinning_worker.logs import configure_logs
    from pinning_worker.wiring.pairing import Store
    from pinning_worker.wiring.stores import BLOCKS_FOLDER, journaled_books

    async def answer() -> Answer:
        folder = settings.data_dir / BLOCKS_FOLDER
        require_usable(folder)
        async with open_database(settings.database_url) as database:
            pair = Store(database, settings.database_url, folder)
            pair.require_pair(await pair.look())
            return await work(journaled_books(database, folder), SystemClock(settings.clock_offset_file).now())

    configure_logs("error", settings.log_format)
    with telling(store_outcomes()):
        require_current(settings.database_url)
        return trio.run(answer)


def store_outcomes() -> dict[type[Exception], ExitCode]:
    """The exit codes for errors of opening the data directory, the database and the blocks, for `telling`."""
    from pinning_worker.adapters.machine.datadir import DataDirHeld, DataDirRefused
    from pinning_worker.adapters.sql.migrate import UnusableDatabase
    from pinning_worker.ports.world import NeedsMending, Trouble
    from pinning_worker.wiring.pairing import NotItsBlocks

    return {
        DataDirHeld: ExitCode.IN_USE,
        DataDirRefused: ExitCode.CONFIGURATION,
        NotItsBlocks: ExitCode.CONFIGURATION,
        NeedsMending: ExitCode.CONFIGURATION,
        UnusableDatabase: ExitCode.UNAVAILABLE,
        Trouble: ExitCode.UNAVAILABLE,
    }


def timestamp(moment: datetime | None) -> str | None:
    """`2026-11-20T12:00:00Z`"""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else None
