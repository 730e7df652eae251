"""One database: what is finished, what waits, and what its errors mean."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from sqlalchemy import Connection, text

from pinning_worker.adapters.sql import database as database_module
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import READERS, Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.rows import DamagedRow
from pinning_worker.ports.books import Change
from pinning_worker.ports.world import DiskFull, Trouble
from tests.contract.samples import ROOT, TXID, block_name, payment, pin, quote, request


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/pinning.db"
    migrate(url)
    opened = Database(url)
    yield opened
    await opened.close()


def count(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM name_blocks")).scalar_one())


def add(connection: Connection) -> int:
    connection.execute(text("INSERT INTO name_blocks (height, hash) SELECT count(*), 'hash' FROM name_blocks"))
    return count(connection)


async def test_a_write_that_has_begun_is_finished_though_its_task_is_cancelled(database: Database) -> None:
    """Catches: a commit whose outcome the task never learns."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly(connection: Connection) -> int:
        begun.set()
        assert go_on.wait(30)
        return add(connection)

    learnt = []

    async def write() -> None:
        learnt.append(await database.write(slowly))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.to_thread.run_sync(begun.wait, 30)
            nursery.cancel_scope.cancel()
            go_on.set()
    assert learnt == [1]
    assert await database.read(count) == 1


async def test_readers_do_not_wait_for_a_writer_and_see_none_of_its_work(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(connection: Connection) -> None:
        add(connection)
        begun.set()
        assert go_on.wait(30)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.write, slowly)
            await trio.to_thread.run_sync(begun.wait, 30)
            assert [await database.read(count) for _ in range(2 * READERS)] == [0] * 2 * READERS
            go_on.set()
    assert await database.read(count) == 1


async def test_everything_that_one_read_sees_is_of_one_moment(database: Database) -> None:
    asked, written = threading.Event(), threading.Event()
    seen: list[int] = []

    def twice(connection: Connection) -> None:
        seen.append(count(connection))
        asked.set()
        assert written.wait(30)
        seen.append(count(connection))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.read, twice)
            await trio.to_thread.run_sync(asked.wait, 30)
            await database.write(add)
            written.set()
    assert seen == [0, 0]


async def test_a_change_that_raises_is_rolled_back(database: Database) -> None:
    def fail(connection: Connection) -> None:
        add(connection)
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        await database.write(fail)
    assert await database.read(count) == 0


async def test_no_room_is_disk_full_and_changes_nothing(database: Database) -> None:
    """SQLite's own error, by a limit on the file's pages."""

    def fill(connection: Connection) -> None:
        connection.execute(text("PRAGMA max_page_count = 1"))  # SQLite takes the size that the file has
        for _ in range(5_000):
            add(connection)

    with pytest.raises(DiskFull, match="database or disk is full"):
        await database.write(fill)
    assert await database.read(count) == 0


async def test_another_process_that_writes_too_long_is_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "_WAIT_SECONDS", 0.1)
    migrate(f"sqlite:///{tmp_path}/pinning.db")
    database = Database(f"sqlite:///{tmp_path}/pinning.db")
    other = sqlite3.connect(tmp_path / "pinning.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Trouble, match="locked"):
        await database.write(add)
    assert await database.read(count) == 0
    other.close()
    assert await database.write(add) == 1
    await database.close()


async def test_writers_of_two_processes_wait_for_each_other(tmp_path: Path) -> None:
    """Catches: transactions that begin as readers, of which SQLite refuses the slower writer without waiting."""
    url = f"sqlite:///{tmp_path}/pinning.db"
    migrate(url)
    ours, theirs = Database(url), Database(url)

    def read_then_write(connection: Connection) -> None:
        height = count(connection)
        connection.execute(text("INSERT INTO name_blocks (height, hash) VALUES (:height, 'hash')"), {"height": height})

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ours.write, read_then_write)
                nursery.start_soon(theirs.write, read_then_write)
    assert await ours.read(count) == 40
    await ours.close()
    await theirs.close()


async def test_a_folder_that_is_away_is_trouble(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/unmounted/pinning.db")
    with pytest.raises(Trouble, match="unable to open"):
        await database.read(count)
    await database.close()


async def test_a_missing_table_is_a_bug_not_trouble(database: Database) -> None:
    """Catches: a defect of ours retried for ever as if the disk were to blame."""
    with pytest.raises(Exception, match="no such table") as told:
        await database.read(lambda connection: connection.execute(text("SELECT * FROM nowhere")))
    assert not isinstance(told.value, Trouble)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/db"])
def test_a_database_that_cannot_serve_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"SQLite in memory|only sqlite"):
        Database(url)


async def test_commits_outlive_a_power_cut(database: Database) -> None:
    """Catches: SQLite's defaults. 2 is FULL: the log is synced at each commit."""

    def pragmas(connection: Connection) -> list[object]:
        return [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]

    assert await database.write(pragmas) == ["wal", 2]
    assert await database.read(pragmas) == ["wal", 2]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE pins SET state = 'dancing'", f"pin {ROOT.hex()} .*'dancing' is not a valid State"),
        ("UPDATE requests SET askers = '[{\"text\": 1}]'", f"request {ROOT.hex()} "),
        ("UPDATE requests SET askers = 'half a li'", f"request {ROOT.hex()} "),
        ("UPDATE requests SET failure = 'TIRED'", "request .*'TIRED' is not a valid ErrorCode"),
        ("UPDATE quotes SET size_image = -5", "quote q1 "),
        ("UPDATE quotes SET foreign_links = '{}'", "quote q1 .*not a list of texts"),
        ("UPDATE requests SET size_image = NULL", "request .*only some are set"),
        ("UPDATE payments SET proof_hash = NULL", f"payment {TXID} "),
    ],
)
async def test_a_damaged_row_says_which_it_is(database: Database, damage: str, told: str) -> None:
    """Catches: a row that is read as something else, and an error that names no row."""
    books = SqlBooks(database)
    assert await books.commit(Change((request(),), (pin(),), (quote(),), (payment(),), ((ROOT, (block_name(1),)),)))
    await database.write(lambda connection: connection.execute(text(damage)).rowcount)
    questions: dict[str, Callable[[], Awaitable[object]]]
    questions = {"pin": partial(books.pins_of, ROOT), "req": partial(books.request, ROOT)}
    questions |= {"quo": partial(books.quotes, ROOT), "pay": partial(books.payment, TXID)}
    with pytest.raises(DamagedRow, match=told):
        await questions[told[:3]]()
