"""A database file that is damaged, somebody else's, or not ours to use: a sentence that names it, and no traceback.

The damage is done to real files: bytes overwritten, as a dying disk or a copy cut short leaves them.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate, require_current
from pinning_worker.adapters.sql.sqlite_file import require_whole
from pinning_worker.ports.world import NeedsMending, Trouble


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pinning.db"


@pytest.fixture
def url(path: Path) -> str:
    migrate(f"sqlite:///{path}")
    return f"sqlite:///{path}"


def ask(connection: Connection) -> object:
    return connection.execute(text("SELECT * FROM name_blocks")).all()


def damage(path: Path, table: str = "name_blocks") -> None:
    """Overwrites the page on which that table begins; all others stay as they are."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=DELETE")
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xee" * size)


async def test_a_damaged_page_is_trouble_that_names_the_file_and_the_way_out(url: str, path: Path) -> None:
    damage(path)
    require_current(url)  # the damage is elsewhere, and only who goes there meets it
    database = Database(url)
    with pytest.raises(NeedsMending) as told:
        await database.read(ask)
    assert str(path) in str(told.value)
    assert "is damaged (database disk image is malformed)" in str(told.value)
    assert "newest backup" in str(told.value)
    assert "pinning-worker recover" in str(told.value)
    assert isinstance(told.value, Trouble), "a worker that runs goes on"
    await database.close()


def test_the_whole_file_is_looked_through_where_that_is_asked_for(url: str, path: Path) -> None:
    require_whole(url)
    damage(path)
    with pytest.raises(NeedsMending, match="is damaged"):
        require_whole(url)


@pytest.fixture
def letter(path: Path) -> Path:
    path.write_bytes(b"a letter to my aunt " * 100)
    return path


async def test_a_file_that_is_no_database(letter: Path) -> None:
    path = letter
    database = Database(f"sqlite:///{path}")
    with pytest.raises(NeedsMending, match=rf"{path} is no SQLite database: let PINNING_DATABASE_URL name"):
        await database.read(ask)
    await database.close()


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (cake TEXT)")
    before = path.read_bytes()
    for refuse in (require_current, migrate):
        with pytest.raises(NeedsMending, match=rf"{path} is another program's \(it has a table recipes\)"):
            refuse(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    assert [name for (name,) in connection.execute("SELECT name FROM sqlite_master")] == ["recipes"]
    assert len(before) == len(path.read_bytes())


def test_a_folder_in_the_way(path: Path) -> None:
    path.mkdir()
    with pytest.raises(NeedsMending, match=f"the database {path} is a folder"):
        migrate(f"sqlite:///{path}")


async def test_a_defect_of_ours_is_no_damage(url: str) -> None:
    database = Database(url)
    with pytest.raises(Exception, match="UNIQUE") as told:
        await database.write(
            lambda connection: connection.execute(
                text("INSERT INTO name_blocks (height, hash) VALUES (1, 'a'), (1, 'b')")
            )
        )
    assert not isinstance(told.value, Trouble)
    await database.close()
