"""A writer is killed again and again: the database opens, and what was acknowledged is there, whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.domain.content.cid import Root
from tests.adapters.sql.writer import BLOCKS, root_of

pytestmark = pytest.mark.slow

KILLS = 12
ROOT = Path(__file__).resolve().parents[3]


async def test_what_was_acknowledged_outlives_sigkill(tmp_path: Path) -> None:
    """Catches: an acknowledgement before the commit, a change stored by halves, a database that does not open."""
    url = f"sqlite:///{tmp_path}/pinning.db"
    migrate(url)
    random = Random(20260301)
    acknowledged: list[int] = []
    for _ in range(KILLS):
        acknowledged += write_and_kill(url, first=await stored(url), acknowledgements=random.randint(1, 40))
    count = await stored(url)
    assert set(acknowledged) <= set(range(count))
    assert len(acknowledged) >= KILLS
    await require_whole(url, count)


def write_and_kill(url: str, first: int, acknowledgements: int) -> list[int]:
    """The numbers that the writer had said when it was killed, in the middle of whatever came next."""
    command = [sys.executable, "-m", "tests.adapters.sql.writer", url, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(acknowledgements)]
        writer.kill()
        said += writer.stdout.readlines()
    return [int(line) for line in said if line.endswith("\n")]


async def stored(url: str) -> int:
    database = Database(url)
    pins = await SqlBooks(database).all_pins()
    await database.close()
    return len(pins)


async def require_whole(url: str, count: int) -> None:
    database = Database(url)
    books = SqlBooks(database)
    for number in range(count):
        assert len(await books.pins_of(Root(root_of(number)))) == 1, number
        assert len(await books.held(Root(root_of(number)))) == BLOCKS, number
    check = await database.read(lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalars().all())
    assert check == ["ok"]
    await database.close()
