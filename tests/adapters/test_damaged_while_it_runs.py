"""A page of the database goes bad under a worker that runs: it says so, and lives."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

import trio

from tests.adapters.test_cli import settings
from tests.interop.worker import free_port, open_worker


def damage(database: Path) -> None:
    """Every page but the first, in place, after all that was written has come out of the log."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    revision = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]
    size, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count"))
    connection.close()
    with database.open("r+b", buffering=0) as file:
        for page in range(2, pages + 1):
            if page != revision:
                file.seek((page - 1) * size)
                file.write(b"\xee" * size)


async def test_it_says_so_and_lives(tmp_path: Path) -> None:
    async with open_worker(tmp_path, settings(free_port())) as worker:
        database = tmp_path / "data" / "pinning.db"
        await trio.to_thread.run_sync(damage, database)
        worker.process.send_signal(signal.SIGHUP)  # it looks into its books
        told = await worker.logged(r'is damaged.*"step\.put_off"')
        assert f"the database {database} is damaged" in told
        assert "`pinning-worker recover` then brings it up to date" in told
        await trio.sleep(1)
        assert worker.process.poll() is None
        assert await worker.stop() == 0
        assert "Traceback" not in "\n".join(worker.log)
