"""Taking a back-up while the worker runs, in an order that misses no paid block.

First a snapshot of the database; then every block that it calls kept; then the keys. Pins made meanwhile are in the
next back-up. Blocks freed meanwhile are copied from the quarantine. After the snapshot the live database counts one
start more: a start then refuses the copy if it is put back alone, beside blocks of later days.

A block that the folder already has is not copied again: its name is its hash. It is read again if a power cut may have
left it half written (the last back-up was cut short), or with `again`: disks forget.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pinning_worker.adapters.blocks.block_copy import (
    blocks_in,
    copy_block,
    is_whole,
    prepare_folder,
    remove_block,
    size_of,
)
from pinning_worker.adapters.blocks.disk import file_of
from pinning_worker.adapters.blocks.durability import make_durable
from pinning_worker.adapters.blocks.mark_file import MARK_FILE, write_mark
from pinning_worker.adapters.machine.private_file import replace
from pinning_worker.adapters.sql.snapshot import Contents, read_snapshot, take_snapshot
from pinning_worker.backup.errors import disk_trouble
from pinning_worker.backup.folder import BLOCKS, DATABASE, BackupFolder
from pinning_worker.backup.manifest import MANIFEST, Manifest, sha256_of
from pinning_worker.backup.source import SMALL_FILES, Source
from pinning_worker.domain.content.multihash import Multihash


@dataclass
class Taken:
    """The result of a back-up. `missing`: kept by the books, and nowhere whole."""

    held: int = 0
    held_bytes: int = 0
    copied: int = 0
    copied_bytes: int = 0
    removed: int = 0
    missing: list[Multihash] = field(default_factory=list)
    to_sync: list[str] = field(default_factory=list)

    def note_copied(self, file: str, size: int | None) -> None:
        if size is not None:
            self.copied += 1
            self.copied_bytes += size
            self.to_sync.append(file)


def take(
    source: Source,
    folder: BackupFolder,
    contents_without_database: Contents | None,
    database_copied: Callable[[], None],
    *,
    again: bool,
    prune: bool,
) -> Taken:
    """Takes a back-up; the caller holds `folder`. `contents_without_database`: the contents of a database that is not
    copied. This calls `database_copied` once it knows the kept blocks. Raises UnreadableDatabase, OutOfReach."""
    with disk_trouble(f"the backup into {folder.path}"):
        again = folder.clear_up() or again
        for made in (folder.next, folder.next / BLOCKS):
            made.mkdir(mode=0o700)
        contents = contents_without_database or _copy_database(source, folder)
        database_copied()
        taken = _copy_blocks(source, folder, contents.held, again=again)
        places = _copy_small_files(source, folder, contents, with_database=contents_without_database is None)
        _sync(folder, [*taken.to_sync, *(str(folder.next / place) for place in places)])
        manifest = _manifest(source, folder, contents, taken, places)
        replace(folder.next / MANIFEST, manifest.written())
        folder.settle()
        _sync(folder, [str(folder.path / place) for place in (*places, MANIFEST)])
        if prune:
            taken.removed = _remove_others(folder, contents.held)
    return taken


def _copy_database(source: Source, folder: BackupFolder) -> Contents:
    assert source.database is not None, "PostgreSQL is not copied"
    copy = folder.next / DATABASE
    take_snapshot(source.database, copy)
    copy.chmod(0o600)
    return read_snapshot(copy)


def _copy_blocks(source: Source, folder: BackupFolder, held: Sequence[Multihash], *, again: bool) -> Taken:
    prepare_folder(folder.blocks)
    taken = Taken(held=len(held))
    for multihash in held:
        file = file_of(str(folder.blocks), multihash)
        size = _size_if_there(source, folder, multihash, again=again)
        if size is None:
            size = copy_block(source.blocks, folder.blocks, multihash)
            taken.note_copied(file, size)
        if size is None and is_whole(folder.blocks, multihash):
            size = size_of(folder.blocks, multihash)  # broken in the source, and whole here
        if size is None:
            taken.missing.append(multihash)
            continue
        taken.held_bytes += size
        if again:
            taken.to_sync.append(file)
    return taken


def _size_if_there(source: Source, folder: BackupFolder, multihash: Multihash, *, again: bool) -> int | None:
    there = size_of(folder.blocks, multihash)
    if there is None or (again and not is_whole(folder.blocks, multihash)):
        return None
    return there if size_of(source.blocks, multihash) in (None, there) else None


def _copy_small_files(source: Source, folder: BackupFolder, contents: Contents, *, with_database: bool) -> list[str]:
    """Copies keys and journals into the next state, and returns their places in it."""
    places = [DATABASE] if with_database else []
    for place in SMALL_FILES:
        if (source.data_dir / place).exists():
            shutil.copyfile(source.data_dir / place, folder.next / place)
            (folder.next / place).chmod(0o600)
            places.append(place)
    assert contents.mark is not None, "looked at before"
    write_mark(folder.next / BLOCKS, contents.mark)
    return [*places, f"{BLOCKS}/{MARK_FILE}"]


def _manifest(
    source: Source, folder: BackupFolder, contents: Contents, taken: Taken, places: Iterable[str]
) -> Manifest:
    files = {place: sha256_of(folder.next / place) for place in places}
    assert contents.mark is not None, "looked at before"
    return Manifest(
        made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        network=source.network,
        mark=contents.mark,
        revision=contents.revision if DATABASE in files else None,
        blocks=taken.held - len(taken.missing),
        block_bytes=taken.held_bytes,
        files=files,
        missing=tuple(multihash.hex() for multihash in taken.missing),
    )


def _remove_others(folder: BackupFolder, held: Sequence[Multihash]) -> int:
    kept, removed = set(held), 0
    for multihash in blocks_in(folder.blocks):
        if multihash not in kept:
            remove_block(folder.blocks, multihash)
            removed += 1
    return removed


def _sync(folder: BackupFolder, files: Sequence[str]) -> None:
    make_durable(files, str(folder.path))
