"""Blocks on a real disk: what a kill, a full disk and rot leave, and what is done about it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from pinning_worker.adapters.blocks import durability
from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.blocks.quarantine import Quarantine
from pinning_worker.domain.content.multihash import sha2_256
from pinning_worker.ports import DiskFull, Trouble

ROOT = Path(__file__).resolve().parents[3]
DATA = b"a block of some length"
NAME = sha2_256(DATA)


@pytest.fixture
async def blocks(tmp_path: Path) -> DiskBlocks:
    return await DiskBlocks.open(tmp_path)


def the_file(folder: Path) -> Path:
    """Of the only block there is."""
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    return file


async def test_blocks_are_there_after_opening_again(tmp_path: Path) -> None:
    await (await DiskBlocks.open(tmp_path)).put(NAME, DATA)
    again = await DiskBlocks.open(tmp_path)
    assert await again.get(NAME) == DATA
    assert [piece async for piece in again.all()] == [[NAME]]


async def test_a_block_lies_where_the_documentation_says(blocks: DiskBlocks, tmp_path: Path) -> None:
    """Catches: a silent change of the layout, which would lose every block of a running worker."""
    await blocks.put(NAME, DATA)
    where = the_file(tmp_path).relative_to(tmp_path)
    assert str(where) == "49/ciqkgj35yc7iubwbob53sd34tj7nc7my43a3sgo7dikethztt7kmmsi"


async def test_rot_is_found_by_an_audit(blocks: DiskBlocks, tmp_path: Path) -> None:
    await blocks.put(NAME, DATA)
    the_file(tmp_path).write_bytes(DATA[:-1] + b"H")
    assert await blocks.audit((NAME,)) == {NAME}


async def test_a_block_that_a_power_cut_shortened_is_written_again(blocks: DiskBlocks, tmp_path: Path) -> None:
    """Catches: a put that believes the name and keeps an empty file for ever."""
    await blocks.put(NAME, DATA)
    the_file(tmp_path).write_bytes(b"")
    assert await blocks.audit((NAME,)) == {NAME}
    await blocks.put(NAME, DATA)
    assert await blocks.audit((NAME,)) == set()


async def test_a_file_that_is_not_ours_is_neither_listed_nor_touched(blocks: DiskBlocks, tmp_path: Path) -> None:
    stranger = tmp_path / "00" / "read me.txt"
    stranger.write_text("hello")
    assert [piece async for piece in blocks.all()] == []
    await DiskBlocks.open(tmp_path)
    assert stranger.read_text() == "hello"


async def test_a_full_disk_is_disk_full_and_leaves_nothing_behind() -> None:
    """On a real file system of 1 MiB, in a mount namespace that ends with its process."""
    told = in_small_file_system("until_full")
    assert "quarantine.cut_short" in told.pop(3)
    assert told == ["DiskFull no room", "whole True", "aside 0", "after two were freed True"]


def test_a_disk_without_room_for_the_folders_is_disk_full_too() -> None:
    assert in_small_file_system("too_few_inodes") == ["DiskFull no room"]


def in_small_file_system(scene: str) -> list[str]:
    """What a scene of `small_disk.py` prints."""
    mount = "mount -t tmpfs -o size=1m,nr_inodes=$2 none $1 && exec $3 -m tests.adapters.blocks.small_disk $1 $4"
    inodes = "20" if scene == "too_few_inodes" else "2000"
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    command = [*namespace, "sh", "-c", mount, "sh", "/mnt", inodes, sys.executable, scene]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


async def test_a_disk_that_fails_is_trouble(blocks: DiskBlocks, tmp_path: Path) -> None:
    """Catches: an OSError that ends the worker, and one that counts as a missing block."""
    await blocks.put(NAME, DATA)
    file = the_file(tmp_path)
    file.unlink()
    file.mkdir()  # reading it fails for root as well, unlike a file without permissions
    with pytest.raises(Trouble, match="out of reach") as told:
        await blocks.get(NAME)
    assert not isinstance(told.value, DiskFull)


async def test_a_killed_writer_leaves_whole_blocks_and_its_leftovers_are_thrown_away(tmp_path: Path) -> None:
    """Catches: half a block under a whole one's name, and space lost with each crash."""
    random = Random(20260301)
    kills = leftovers = 0
    while kills < 6 or (leftovers == 0 and kills < 60):
        kills += 1
        write_and_kill(tmp_path, blocks=random.randint(1, 60))
        leftovers += len(os.listdir(tmp_path / "aside"))
        blocks = await DiskBlocks.open(tmp_path)
        assert os.listdir(tmp_path / "aside") == []
        names = [name async for piece in blocks.all() for name in piece]
        assert await blocks.audit(names) == set()
    assert leftovers > 0, "no kill hit a put: the test proves nothing"


def write_and_kill(folder: Path, blocks: int) -> None:
    command = [sys.executable, "-m", "tests.adapters.blocks.writer", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout is not None
        for _ in range(blocks):
            assert writer.stdout.readline() == b"put\n"
        writer.kill()


def test_a_sync_that_fails_says_so() -> None:
    """Catches: C's `syncfs`, whose error nobody raises: a promise on blocks that are not on the disk."""
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        durability.syncfs(-1)


# ---------------------------------------------------------------- reading and quarantine


async def test_a_read_that_finds_rot_says_so_and_a_put_replaces_it(blocks: DiskBlocks, tmp_path: Path) -> None:
    """Catches: rot of the right length is served, and stays when the block is fetched again."""
    found: list[bytes] = []
    blocks.found_broken = found.append
    await blocks.put(NAME, DATA)
    the_file(tmp_path).write_bytes(DATA[:-1] + b"H")
    assert await blocks.get(NAME) is None
    assert found == [NAME]
    await blocks.put(NAME, DATA)
    assert await blocks.get(NAME) == DATA


async def test_a_block_that_was_found_broken_is_claimed_of_nobody_until_it_is_replaced(
    blocks: DiskBlocks, tmp_path: Path
) -> None:
    """Catches: HAVE for what a read has just found to be rot, where the disk is too busy to put it aside."""
    await blocks.put(NAME, DATA)
    the_file(tmp_path).write_bytes(DATA[:-1] + b"H")
    assert await blocks.get(NAME) is None
    assert (await blocks.size(NAME), await blocks.sizes([NAME])) == (None, {})
    await blocks.put(NAME, DATA)
    assert (await blocks.size(NAME), await blocks.sizes([NAME])) == (len(DATA), {NAME: len(DATA)})


async def test_what_is_freed_lies_by_its_day_and_survives_opening_again(blocks: DiskBlocks, tmp_path: Path) -> None:
    await blocks.put(NAME, DATA)
    await blocks.free((NAME,), date(2026, 11, 29), was_paid=True)
    assert str(the_file(tmp_path).relative_to(tmp_path)).startswith("freed/paid/2026-11-29/ciq")
    again = await DiskBlocks.open(tmp_path)
    await again.recall((NAME,))
    assert await again.get(NAME) == DATA


async def test_rot_is_not_recalled(blocks: DiskBlocks, tmp_path: Path) -> None:
    await blocks.put(NAME, DATA)
    await blocks.free((NAME,), date(2026, 11, 29), was_paid=True)
    the_file(tmp_path).write_bytes(b"rot")
    await blocks.recall((NAME,))
    assert await blocks.size(NAME) is None


async def test_a_file_system_without_links_recalls_by_copying(
    blocks: DiskBlocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    await blocks.put(NAME, DATA)
    await blocks.free((NAME,), date(2026, 11, 29), was_paid=True)
    monkeypatch.setattr(os, "link", no_links)
    await blocks.recall((NAME,))
    assert await blocks.get(NAME) == DATA


async def test_what_nobody_paid_for_has_a_limit_that_a_restart_remembers(tmp_path: Path) -> None:
    """Catches: a stranger's refused fetches fill the disk, or push out what was paid for."""
    blocks = await DiskBlocks.open(tmp_path, most_unpaid=250_000)
    await blocks.put(NAME, DATA)
    await blocks.free((NAME,), date(2026, 11, 20), was_paid=True)
    for number in range(8):
        if number == 4:
            blocks = await DiskBlocks.open(tmp_path, most_unpaid=250_000)
        data = bytes([number]) * 100_000
        name = sha2_256(data)
        await blocks.put(name, data)
        await blocks.free((name,), date(2026, 11, 21 + number), was_paid=False)
    unpaid = [each for each in await blocks.quarantined() if not each.was_paid]
    assert [each.day.day for each in unpaid] == [27, 28], "the oldest go"
    await blocks.recall((NAME,))
    assert await blocks.get(NAME) == DATA


@pytest.mark.parametrize("above", ["paid", "unpaid"])
async def test_what_the_folders_above_are_called_does_not_matter(tmp_path: Path, above: str) -> None:
    """Catches: the kind read out of the whole path. Below /srv/paid nothing counts as unpaid, and has no limit."""
    blocks = await DiskBlocks.open(tmp_path / above / "blocks", most_unpaid=5000)
    await blocks.put(NAME, DATA)
    await blocks.free((NAME,), date(2026, 11, 20), was_paid=True)
    other = sha2_256(b"never paid")
    await blocks.put(other, b"never paid")
    await blocks.free((other,), date(2026, 11, 21), was_paid=False)
    await blocks.put(other, b"never paid")
    await blocks.free((other,), date(2026, 11, 22), was_paid=False)
    told = [(each.day.day, each.was_paid) for each in await blocks.quarantined()]
    assert told == [(20, True), (22, False)]


async def test_tiny_blocks_that_nobody_paid_for_are_limited_by_what_they_take_of_the_disk(tmp_path: Path) -> None:
    """Catches: a hundred files of twenty bytes are two thousand bytes to the limit, and 400 KiB to the disk."""
    blocks = await DiskBlocks.open(tmp_path, most_unpaid=10 * 4096)
    await free_noise(blocks, count=100, size=20, was_paid=False)
    [unpaid] = await blocks.quarantined()
    assert unpaid.blocks == 10


async def test_room_is_made_by_files_and_not_by_second_names_of_them(tmp_path: Path) -> None:
    """Catches: what was brought back out of quarantine is deleted there, and the disk is still full."""
    quarantine = Quarantine(str(tmp_path / "freed"), None)
    quarantine.open()
    (tmp_path / "block").write_bytes(bytes(100_000))
    quarantine.take(str(tmp_path / "block"), date(2026, 11, 20), was_paid=True)
    (tmp_path / "shelved").write_bytes(bytes(100_000))
    day = tmp_path / "freed" / "unpaid" / "2026-11-21"
    day.mkdir()
    os.link(tmp_path / "shelved", day / "shelved")
    assert quarantine.make_room(50_000) == 100_000
    assert quarantine.days() == []


async def test_a_purge_keeps_a_gibibyte_free_for_the_database_and_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = await DiskBlocks.open(tmp_path)
    await free_noise(blocks, count=4, size=100_000, was_paid=True)
    disk = SimpleNamespace(f_frsize=1, f_blocks=100 << 30, f_bavail=(1 << 30) - 150_000)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    await blocks.purge(date(2026, 11, 1))
    [left] = await blocks.quarantined()
    assert left.blocks == 2


async def free_noise(blocks: DiskBlocks, *, count: int, size: int, was_paid: bool) -> None:
    made = [Random(seed).randbytes(size) for seed in range(count)]
    names = {sha2_256(data): data for data in made}
    for name, data in names.items():
        await blocks.put(name, data)
    await blocks.free(tuple(names), date(2026, 11, 29), was_paid=was_paid)


def test_when_room_is_made_what_nobody_paid_for_goes_first(tmp_path: Path) -> None:
    """Catches: the oldest goes, whoever it was for; a stranger's blocks of today outlive what was paid for."""
    quarantine = Quarantine(f"{tmp_path}/freed", None)
    quarantine.open()
    for name, day, was_paid in (("old", 1, True), ("new", 9, False), ("newer", 10, False)):
        (tmp_path / name).write_bytes(bytes(8192))
        quarantine.take(f"{tmp_path}/{name}", date(2026, 11, day), was_paid=was_paid)
    assert quarantine.make_room(12_288) == 16_384
    assert [(each.day.day, each.was_paid) for each in quarantine.days()] == [(1, True)]
    assert quarantine.make_room(1) == 8192
    assert quarantine.days() == []
