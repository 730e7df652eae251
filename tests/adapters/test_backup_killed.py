"""`backup` and `restore` killed by SIGKILL: between any two renames, and at any moment.

What is whole stays whole, what is half is never taken for a whole, and the same command again brings it to its end.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.blocks.block_copy import is_whole
from pinning_worker.adapters.machine.datadir import RESTORING, DataDirRefused, prepare_data_dir
from pinning_worker.adapters.p2p.host.identity import load_key
from pinning_worker.adapters.sql.database import Database
from pinning_worker.backup.checking import check
from pinning_worker.backup.errors import Damaged
from pinning_worker.backup.folder import NEXT, BackupFolder
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.wiring.pairing import Store
from tests.adapters.stored_worker import database_url, keep, pictures
from tests.adapters.test_cli import settings
from tests.interop.worker import COMMAND, worker_environment

pytestmark = pytest.mark.slow

NETWORK = "doichain-regtest"
KILLS = 10
PATIENCE = 60
MOST_RENAMES = 40
KEPT = pictures(range(1200))


async def process(folder: Path, *command: str) -> trio.Process:
    return await trio.lowlevel.open_process(
        [str(part) for part in command],
        env={**worker_environment(folder, settings(1)), "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=folder,
    )


async def run(folder: Path, *arguments: str) -> int:
    with trio.fail_after(PATIENCE):
        return await (await process(folder, str(COMMAND), *arguments)).wait()


async def dies(folder: Path, number: int, *arguments: str) -> bool:
    """At that rename; False where there are not so many."""
    command = (sys.executable, "-m", "tests.adapters.mortal_command", str(number), *arguments)
    with trio.fail_after(PATIENCE):
        code = await (await process(folder, *command)).wait()
    assert code in (0, -signal.SIGKILL)
    return code != 0


async def killed_at_random(folder: Path, begun: Path, seconds: float, *arguments: str) -> None:
    """Some moment after its work began, which is when that file is there."""
    with trio.fail_after(PATIENCE):
        running = await process(folder, str(COMMAND), *arguments)
        await trio.to_thread.run_sync(_wait_for, running, begun)
        with trio.move_on_after(seconds):
            await running.wait()
        running.kill()
        await running.wait()


def _wait_for(running: trio.Process, begun: Path) -> None:
    while running.poll() is None and not begun.exists():
        time.sleep(0.002)


def whole(backup: Path) -> int | None:
    """How many blocks the whole state has; None where there is none."""
    folder = BackupFolder(backup)
    try:
        checked = check(folder, quick=False)
    except Damaged as error:
        if "cut short" in str(error):
            return None
        raise
    assert checked.lost == ()
    return len(checked.blocks)


async def is_put_back(folder: Path, blocks: Sequence[Multihash]) -> None:
    """A worker can start on it."""
    data = folder / "data"
    prepare_data_dir(data, NETWORK)
    assert [block for block in blocks if not is_whole(data / "blocks", block)] == []
    load_key(data / "identity.key")
    database = Database(database_url(folder))
    try:
        await Store(database, database_url(folder), data / "blocks").open_together()
    finally:
        await database.close()


@pytest.fixture
async def worker(tmp_path: Path) -> Path:
    await keep(tmp_path / "worker", KEPT)
    return tmp_path / "worker"


async def test_a_first_backup_killed_between_any_two_renames(worker: Path, tmp_path: Path) -> None:
    for number in count(1):
        backup = tmp_path / f"backup-{number}"
        if not await dies(worker, number, "backup", f"../{backup.name}"):
            break
        assert not backup.joinpath("backup.json").exists() or whole(backup) == len(KEPT)
        if number % 4 == 1:
            assert await run(worker, "backup", f"../{backup.name}") == 0
            assert whole(backup) == len(KEPT)
    assert 5 < number < MOST_RENAMES
    assert whole(backup) == len(KEPT)


async def test_a_later_backup_killed_between_any_two_renames_leaves_a_whole_one(worker: Path, tmp_path: Path) -> None:
    assert await run(worker, "backup", "../backup") == 0
    had = len(KEPT)
    for number in count(1):
        await keep(worker, pictures(range(10_000 * number, 10_000 * number + 10)))
        died = await dies(worker, number, "backup", "../backup")
        found = whole(tmp_path / "backup")
        assert found is not None
        assert had <= found <= len(KEPT) + 10 * number
        had = found
        if not died:
            break
    assert 5 < number < MOST_RENAMES
    assert had == len(KEPT) + 10 * number


async def test_a_restore_killed_between_any_two_renames(worker: Path, tmp_path: Path) -> None:
    assert await run(worker, "backup", "../backup") == 0
    for number in count(1):
        folder = tmp_path / f"new-{number}"
        died = await dies(folder, number, "restore", "../backup")
        if died and folder.joinpath("data", RESTORING).exists():
            with pytest.raises(DataDirRefused, match="was cut short"):
                prepare_data_dir(folder / "data", NETWORK)
            assert await run(folder, "restore", "../backup") == 0
        await is_put_back(folder, list(KEPT))
        if not died:
            break
    assert 5 < number < MOST_RENAMES


async def test_killed_at_any_moment(worker: Path, tmp_path: Path) -> None:
    dice, backup, had = random.Random(1), tmp_path / "backup", 0
    for number in range(1, KILLS + 1):
        await keep(worker, pictures(range(10_000 * number, 10_000 * number + 100)))
        await killed_at_random(worker, backup / NEXT, dice.uniform(0, 0.4), "backup", "../backup")
        found = whole(backup) or 0
        assert found >= had
        had = found
    assert await run(worker, "backup", "../backup") == 0
    assert whole(backup) == len(KEPT) + 100 * KILLS

    folder = tmp_path / "new"
    for _ in range(KILLS):
        restoring = folder / "data" / RESTORING
        await killed_at_random(folder, restoring / "blocks" / "ff", dice.uniform(0, 0.5), "restore", "../backup")
        if not restoring.exists():
            break
        with pytest.raises(DataDirRefused, match="was cut short"):
            prepare_data_dir(folder / "data", NETWORK)
    else:
        assert await run(folder, "restore", "../backup") == 0
    await is_put_back(folder, list(KEPT))
