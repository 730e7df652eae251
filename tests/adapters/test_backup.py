"""`backup` and `restore` as processes on real files: what is in a backup, what is refused, and what is said of it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks, file_of
from pinning_worker.adapters.blocks.mark_file import read_mark
from pinning_worker.adapters.machine.datadir import hold_data_dir
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.store_mark import read_mark as books_mark
from pinning_worker.backup.manifest import sha256_of
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.wiring.pairing import NotItsBlocks, Store
from tests.adapters.stored_worker import PAID_DAY, database_url, ended, free, keep, pictures
from tests.adapters.test_cli import printed, told
from tests.contract.postgresql import a_server, new_database

pytestmark = pytest.mark.slow  # it starts the command, again and again

KEPT = pictures(range(12))


@pytest.fixture
async def worker(tmp_path: Path) -> Path:
    """The folder of a worker that keeps some blocks, and does not run."""
    await keep(tmp_path / "worker", KEPT)
    return tmp_path / "worker"


def block_file(data: Path, multihash: Multihash) -> Path:
    return Path(file_of(str(data / "blocks"), multihash))


def blocks_there(data: Path, blocks: dict[Multihash, bytes] = KEPT) -> bool:
    return all(block_file(data, multihash).read_bytes() == block for multihash, block in blocks.items())


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


async def backup(worker: Path, *arguments: str) -> Any:
    return json.loads(printed(await ended(worker, "backup", "--json", "../backup", *arguments)))


async def restore(folder: Path, *arguments: str, **changed: str) -> str:
    return printed(await ended(folder, "restore", "../backup", *arguments, **changed))


async def refusal(folder: Path, code: int, *arguments: str, **changed: str) -> str:
    return told(await ended(folder, *arguments, **changed), code)


# ---------------------------------------------------------------- there and back


async def test_there_and_back_again(worker: Path, tmp_path: Path) -> None:
    (worker / "data" / "swarm.key").write_text("/key/swarm/psk/1.0.0/\n/base16/\n" + "ab" * 32 + "\n")
    (worker / "data" / "webrtc.pem").write_text("a certificate")
    done = await backup(worker)
    assert (done["blocks"], done["copiedBlocks"], done["missing"]) == (12, 12, [])
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700

    text = await restore(tmp_path / "new")
    assert text.splitlines()[-3:] == [
        "  pinning-worker migrate",
        "  pinning-worker check-config",
        "  pinning-worker run",
    ]
    data = tmp_path / "new" / "data"
    assert blocks_there(data)
    for name in ("identity.key", "swarm.key", "webrtc.pem", "network"):
        assert (data / name).read_bytes() == (worker / "data" / name).read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in data.rglob("*") if path.is_dir()} == {0o700}
    private = [path for path in data.rglob("*") if path.is_file() and path.name != "network"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert not (data / ".restoring").exists()
    assert "already at revision" in printed(await ended(tmp_path / "new", "migrate"))
    await start(tmp_path / "new")


async def test_a_second_backup_copies_what_is_new_and_keeps_what_is_not(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    more = pictures(range(20, 23))
    await keep(worker, more)
    assert (await backup(worker))["copiedBlocks"] == 3
    await restore(tmp_path / "new")
    assert blocks_there(tmp_path / "new" / "data", KEPT | more)


async def test_what_is_kept_no_more_goes_only_by_prune(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    with sqlite3.connect(worker / "data" / "pinning.db") as books:
        books.execute("DELETE FROM block_references WHERE multihash = ?", (next(iter(KEPT)),))
    books.close()
    assert (await backup(worker))["removedBlocks"] == 0
    assert blocks_there(tmp_path / "backup")
    assert (await backup(worker, "--prune"))["removedBlocks"] == 1
    assert not block_file(tmp_path / "backup", next(iter(KEPT))).exists()


@pytest.mark.parametrize("was_paid", [True, False])
async def test_a_block_that_was_freed_meanwhile_is_had_from_quarantine(was_paid: bool, worker: Path) -> None:
    """Between the copy of the database and that of the blocks, the story frees one that the copy calls kept."""
    await free(worker, dict(list(KEPT.items())[:2]), was_paid=was_paid)
    assert (await backup(worker))["missing"] == []


async def test_what_is_freed_and_taken_back_while_it_is_copied_is_in_it(worker: Path, tmp_path: Path) -> None:
    """The story frees and recalls all that the copy of the database calls kept, again and again."""
    many = pictures(range(100, 900))
    await keep(worker, many)
    shelf, turns = await DiskBlocks.open(worker / "data" / "blocks"), 0
    ending = trio.Event()

    async def copy() -> None:
        assert (await backup(worker))["missing"] == []
        ending.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(copy)
        while not ending.is_set():
            day = PAID_DAY + timedelta(days=turns)  # freed into the same day again, a file would stay where it is
            await shelf.free(list(many), day, was_paid=turns % 2 == 0)
            await trio.sleep(0.05)
            await shelf.recall(list(many))
            turns += 1
    assert turns > 1
    assert blocks_there(tmp_path / "backup", KEPT | many)


async def test_the_books_that_were_copied_are_the_older_ones_from_then_on(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    shutil.copy(tmp_path / "backup" / "pinning.db", worker / "data" / "pinning.db")
    for log in ("pinning.db-wal", "pinning.db-shm"):
        (worker / "data" / log).unlink(missing_ok=True)
    with pytest.raises(NotItsBlocks, match="is older than the blocks"):
        await start(worker)


async def test_what_is_left_of_an_earlier_restore_stops_no_other(worker: Path, tmp_path: Path) -> None:
    """Catches: `rm -r data/*`, which leaves what begins with a dot, and then no restore ever comes to its end."""
    await backup(worker)
    (tmp_path / "new" / "data" / ".restored").mkdir(parents=True)
    (tmp_path / "new" / "data" / ".restored" / "backup.json").write_text("{}")
    await restore(tmp_path / "new")
    assert {path.name for path in (tmp_path / "new" / "data").glob(".*")} == set()
    await start(tmp_path / "new")


async def test_the_marks_of_a_restored_worker_are_a_pair(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    await restore(tmp_path / "new")
    database = Database(database_url(tmp_path / "new"))
    try:
        mark = await books_mark(database)
    finally:
        await database.close()
    assert mark is not None
    assert read_mark(tmp_path / "new" / "data" / "blocks") == mark


async def start(folder: Path, url: str | None = None) -> None:
    """What `run` does first. Raises NotItsBlocks."""
    url = url or database_url(folder)
    database = Database(url)
    try:
        await Store(database, url, folder / "data" / "blocks").open_together()
    finally:
        await database.close()


# ---------------------------------------------------------------- backup: refused, or told


async def test_a_directory_of_somebody_else_is_left_as_it_is(worker: Path, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir(mode=0o755)
    (tmp_path / "backup" / "holiday.jpg").touch()
    text = await refusal(worker, 78, "backup", "../backup")
    assert text.endswith("backup holds holiday.jpg and is no backup: name an empty or a new directory")
    assert [entry.name for entry in (tmp_path / "backup").iterdir()] == ["holiday.jpg"]
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o755


async def test_the_backup_of_another_worker_is_left_as_it_is(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    await keep(tmp_path / "other", KEPT)
    before = (tmp_path / "backup" / "backup.json").read_bytes()
    assert "is the backup of another worker" in await refusal(tmp_path / "other", 78, "backup", "../backup")
    assert (tmp_path / "backup" / "backup.json").read_bytes() == before


@pytest.mark.parametrize("inside", ["data/backup", "."])
async def test_a_backup_does_not_lie_in_what_it_copies(inside: str, worker: Path) -> None:
    assert "must not lie in each other" in await refusal(worker, 78, "backup", inside)


async def test_nothing_is_copied_where_no_worker_was(tmp_path: Path) -> None:
    assert "none/data cannot be used" in await refusal(tmp_path / "none", 78, "backup", "../backup")
    printed(await ended(tmp_path / "none", "migrate"))
    assert "no worker was ever started on" in await refusal(tmp_path / "none", 78, "backup", "../backup")
    assert not (tmp_path / "backup").exists()


async def test_books_whose_blocks_are_not_mounted_are_not_copied(worker: Path, tmp_path: Path) -> None:
    shutil.rmtree(worker / "data" / "blocks")
    assert "Is the disk mounted?" in await refusal(worker, 78, "backup", "--prune", "../backup")
    assert not (tmp_path / "backup").exists()


async def test_a_broken_block_is_named_and_everything_else_is_there(worker: Path, tmp_path: Path) -> None:
    broken, gone = list(KEPT)[:2]
    damage(block_file(worker / "data", broken))
    block_file(worker / "data", gone).unlink()
    taken = await ended(worker, "backup", "--json", "../backup")
    assert taken.returncode == 65
    names = {str(block_file(worker / "data", block)) for block in (broken, gone)}
    assert set(json.loads(taken.stdout)["missing"]) == names
    assert all(name in taken.stderr for name in names)
    assert "Traceback" not in taken.stderr

    text = await refusal(tmp_path / "new", 65, "restore", "../backup")
    assert "2 blocks that the database of the backup calls kept are missing or damaged" in text
    assert not (tmp_path / "new" / "data").exists()
    assert "2 blocks are lost" in await restore(tmp_path / "new", "--incomplete")
    assert blocks_there(tmp_path / "new" / "data", {key: KEPT[key] for key in KEPT if key not in (broken, gone)})


async def test_a_block_that_broke_after_a_backup_stays_whole_in_it(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    damage(block_file(worker / "data", next(iter(KEPT))))
    block_file(worker / "data", list(KEPT)[1]).write_bytes(b"short")
    assert (await backup(worker, "--again"))["missing"] == []
    assert blocks_there(tmp_path / "backup")


async def test_what_a_disk_forgot_in_a_backup_is_copied_again(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    damage(block_file(tmp_path / "backup", next(iter(KEPT))))
    assert (await backup(worker))["copiedBlocks"] == 0
    assert (await backup(worker, "--again"))["copiedBlocks"] == 1
    assert blocks_there(tmp_path / "backup")


async def test_a_damaged_database_is_not_copied(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    before = (tmp_path / "backup" / "backup.json").read_bytes()
    books = worker / "data" / "pinning.db"
    with sqlite3.connect(books) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'quotes'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with books.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    text = await refusal(worker, 69, "backup", "../backup")
    assert text.startswith(f"the database {books} ")
    assert "malformed" in text
    assert (tmp_path / "backup" / "backup.json").read_bytes() == before
    await restore(tmp_path / "new")


async def test_two_at_once_into_one_directory(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    with (tmp_path / "backup" / "backup-of").open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        assert "another backup into" in await refusal(worker, 75, "backup", "../backup")


async def test_postgresql_is_not_ours_to_copy(worker: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://nobody@127.0.0.1:1/pins"
    assert "run pg_dump first" in await refusal(worker, 78, "backup", "../backup", PINNING_DATABASE_URL=url)


async def test_with_postgresql_everything_else_is_copied_and_put_back(tmp_path: Path) -> None:
    with a_server() as socket_folder:
        url = new_database(socket_folder)
        await keep(tmp_path / "worker", KEPT, url=url)
        printed(await ended(tmp_path / "worker", "backup", "--without-database", "../backup", PINNING_DATABASE_URL=url))
        assert not (tmp_path / "backup" / "pinning.db").exists()
        assert "names SQLite" in await refusal(tmp_path / "new", 78, "restore", "../backup")
        await restore(tmp_path / "new", PINNING_DATABASE_URL=url)
        assert blocks_there(tmp_path / "new" / "data")
        await start(tmp_path / "new", url)


# ---------------------------------------------------------------- restore: refused, and nothing written


async def test_a_data_directory_with_something_in_it_is_left_as_it_is(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    data = tmp_path / "new" / "data"
    data.mkdir(parents=True)
    (data / "lost+found").mkdir()
    (data / "identity.key").write_text("another")
    assert "holds identity.key: a restore overwrites nothing" in await refusal(
        tmp_path / "new", 78, "restore", "../backup"
    )
    assert sorted(entry.name for entry in data.iterdir()) == ["identity.key", "lost+found"]
    (data / "identity.key").unlink()
    await restore(tmp_path / "new")


async def test_a_restore_under_a_running_worker_is_told_that_it_runs(worker: Path, tmp_path: Path) -> None:
    """Catches: "move it away", said of the data of a worker that runs."""
    await backup(worker)
    with hold_data_dir(worker / "data", "doichain-regtest"):
        assert f"another worker (pid {os.getpid()}) runs on" in await refusal(worker, 75, "restore", "../backup")
    assert "is there already" in await refusal(worker, 78, "restore", "../backup")


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_database_that_is_there_is_left_as_it_is(suffix: str, worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    books = tmp_path / f"elsewhere.db{suffix}"
    books.write_text("another")
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    text = await refusal(tmp_path / "new", 78, "restore", "../backup", PINNING_DATABASE_URL=url)
    assert f"the database {books} is there already" in text
    assert books.read_text() == "another"
    books.unlink()
    await restore(tmp_path / "new", PINNING_DATABASE_URL=url)
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "new" / "data" / "pinning.db").exists()


async def test_no_backup_no_restore(worker: Path, tmp_path: Path) -> None:
    assert "is no directory" in await refusal(tmp_path / "new", 78, "restore", "../backup")
    (tmp_path / "backup").mkdir()
    assert "did not make it" in await refusal(tmp_path / "new", 78, "restore", "../backup")
    await backup(worker)
    (tmp_path / "backup" / "backup.json").unlink()
    assert "the backup was cut short" in await refusal(tmp_path / "new", 65, "restore", "../backup")
    assert not (tmp_path / "new" / "data").exists()


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


A_BLOCK = file_of("blocks", next(iter(KEPT)))


@pytest.mark.parametrize(
    ("place", "harm", "said"),
    [
        ("backup.json", cut_short, "backup.json is damaged"),
        ("identity.key", damage, "identity.key is not what was written"),
        ("identity.key", Path.unlink, "identity.key is missing"),
        ("pinning.db", damage, "pinning.db is not what was written"),
        (A_BLOCK, damage, "1 blocks that the database of the backup calls kept are missing or damaged:\n  - "),
        (A_BLOCK, Path.unlink, A_BLOCK),
    ],
)
async def test_what_is_damaged_is_named_and_nothing_written(
    place: str, harm: Callable[[Path], None], said: str, worker: Path, tmp_path: Path
) -> None:
    await backup(worker)
    harm(tmp_path / "backup" / place)
    for arguments in (["restore", "../backup"], ["restore", "--check", "../backup"]):
        assert said in await refusal(tmp_path / "new", 65, *arguments)
    assert not (tmp_path / "new" / "data").exists()


async def test_quick_finds_what_is_missing_or_short_and_the_copy_finds_the_rest(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    file = block_file(tmp_path / "backup", next(iter(KEPT)))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert "some are damaged" in await refusal(tmp_path / "new", 65, "restore", "--quick", "../backup")
    file.write_bytes(whole)
    damage(file)
    assert str(file) in await refusal(tmp_path / "new", 65, "restore", "--quick", "../backup")
    assert "is going on, or was cut short" in await refusal(tmp_path / "new", 78, "run")
    file.write_bytes(whole)
    await restore(tmp_path / "new", "--quick")
    assert blocks_there(tmp_path / "new" / "data")


async def test_a_database_of_a_newer_program_is_refused_and_an_older_one_is_not(worker: Path, tmp_path: Path) -> None:
    await backup(worker)

    def set_revision(revision: str) -> None:
        file, manifest = tmp_path / "backup" / "pinning.db", tmp_path / "backup" / "backup.json"
        with sqlite3.connect(file) as books:
            books.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        books.close()
        written = json.loads(manifest.read_bytes())
        written["files"]["pinning.db"] = sha256_of(file)
        manifest.write_text(json.dumps(written))

    set_revision("9999")
    text = await refusal(tmp_path / "new", 65, "restore", "../backup")
    assert "at revision 9999, which this version does not know: a newer pinning-worker wrote it" in text
    set_revision("0001")
    await restore(tmp_path / "new")


async def test_the_backup_of_another_network(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    text = await refusal(tmp_path / "new", 78, "restore", "../backup", PINNING_NETWORK="doichain-test")
    assert "the backup is of a worker on doichain-regtest, and PINNING_NETWORK is doichain-test" in text


async def test_a_backup_of_a_newer_program_is_refused(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    manifest = tmp_path / "backup" / "backup.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 2'))
    assert "is of version 2, and this program knows 1" in await refusal(tmp_path / "new", 65, "restore", "../backup")


async def test_a_backup_on_a_read_only_disk_can_be_restored(worker: Path, tmp_path: Path) -> None:
    await backup(worker)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "backup").rglob("*")}
    await restore(tmp_path / "new")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "backup").rglob("*")} == before


# ---------------------------------------------------------------- no room


def small_disk(place: Path, mebibytes: int) -> bool:
    place.mkdir()
    return os.system(f"mount -t tmpfs -o size={mebibytes}m,mode=700 tmpfs {place} 2>/dev/null") == 0


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    if not small_disk(tmp_path / "small", 1):
        pytest.skip("a small disk needs the right to mount")
    yield tmp_path / "small"
    os.system(f"umount {tmp_path / 'small'}")


async def test_no_room_for_a_backup_or_a_restore_is_told_and_spoils_nothing(worker: Path, full_disk: Path) -> None:
    await keep(worker, pictures(range(100, 102), size=900_000))
    text = await refusal(worker, 69, "backup", str(full_disk))
    assert "No space left on device" in text
    await backup(worker)
    for name in os.listdir(full_disk):
        shutil.rmtree(full_disk / name, ignore_errors=True)
    text = await refusal(worker.parent / "new", 69, "restore", "../backup", PINNING_DATA_DIR=str(full_disk / "data"))
    assert "make room, or let PINNING_DATA_DIR name a larger disk" in text
