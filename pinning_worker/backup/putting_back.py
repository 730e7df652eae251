"""The restore of a back-up: into an empty data directory, and a database that does not exist yet.

Everything is written into `.restoring` in the data directory, and the database beside its place; `backup.json` is
written last. Then everything is moved to its place, and at the end one rename removes `.restoring`. No command but
`restore` accepts a data directory with `.restoring` in it, so no worker starts on half a restore. A second `restore`
begins anew, or finishes the moves.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pinning_worker.adapters.blocks.block_copy import copy_block, prepare_folder
from pinning_worker.adapters.blocks.durability import make_durable
from pinning_worker.adapters.machine.datadir import LOCK, MARK, RESTORED, RESTORING, prepare_data_dir
from pinning_worker.adapters.machine.private_file import replace
from pinning_worker.backup.checking import Checked, require_complete
from pinning_worker.backup.errors import OutOfReach, WrongPlace, disk_trouble
from pinning_worker.backup.folder import BLOCKS, DATABASE, BackupFolder
from pinning_worker.backup.manifest import MANIFEST, Manifest, read_manifest

_RESERVE = 64 << 20  # bytes that stay free on the disk
_NO_WORKER = frozenset({"lost+found", LOCK, RESTORED})


@dataclass(frozen=True, slots=True)
class Destination:
    """The places for a worker's data. `database`: None for PostgreSQL. Both are absolute."""

    data_dir: Path
    database: Path | None
    network: str

    @property
    def aside(self) -> Path:
        return self.data_dir / RESTORING

    def place_aside(self, place: str) -> Path:
        if place == DATABASE and self.database_aside is not None:
            return self.database_aside
        return self.aside / place

    @property
    def database_aside(self) -> Path | None:
        return self.database.with_name(f"{self.database.name}{RESTORING}") if self.database else None


def require_fit(manifest: Manifest, there: Destination) -> None:
    """Raises WrongPlace, before anything is written: network, kind of database or an existing file do not fit."""
    if manifest.network != there.network:
        raise WrongPlace(
            f"the backup is of a worker on {manifest.network}, and PINNING_NETWORK is {there.network}: set it to "
            f"{manifest.network}"
        )
    if (DATABASE in manifest.files) != (there.database is not None):
        has, wants = ("an", "PostgreSQL") if there.database is None else ("no", "SQLite")
        raise WrongPlace(
            f"the backup holds {has} SQLite database, and PINNING_DATABASE_URL names {wants}: set it to the kind that "
            "the worker had"
        )
    _require_empty(there, manifest)


def _require_empty(there: Destination, manifest: Manifest) -> None:
    being_moved = _is_being_moved(there)
    for file in _database_files(there):
        if file.exists() and not (being_moved and _is_moved(there)):
            raise WrongPlace(f"the database {file} is there already: a restore overwrites nothing. Move it away")
    if being_moved:
        if read_manifest(there.aside / MANIFEST) != manifest:
            raise WrongPlace(
                f"{there.data_dir} holds a restore of another backup that was cut short: finish that one, or empty it"
            )
        return
    ours = {RESTORING, *((there.database_aside.name,) if there.database_aside else ())}
    others = sorted(set(_names(there.data_dir)) - _NO_WORKER - ours)
    if others:
        raise WrongPlace(
            f"the data directory {there.data_dir} holds {others[0]}: a restore overwrites nothing. Let "
            "PINNING_DATA_DIR name an empty or a new one"
        )


def _database_files(there: Destination) -> list[Path]:
    """The database and its logs: SQLite would take a log left by another database for ours."""
    suffixes = ("", "-wal", "-journal")
    return [there.database.with_name(there.database.name + each) for each in suffixes] if there.database else []


def _is_moved(there: Destination) -> bool:
    return there.database_aside is not None and not there.database_aside.exists()


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WrongPlace(
            f"the data directory {folder} cannot be used: {error.strerror} (PINNING_DATA_DIR names it)"
        ) from error


def _is_being_moved(there: Destination) -> bool:
    return (there.aside / MANIFEST).exists()


def put_back(folder: BackupFolder, checked: Checked, there: Destination, *, incomplete: bool) -> None:
    """Restores a checked back-up. The caller holds the data directory. Raises Damaged, OutOfReach."""
    with disk_trouble(f"the restore into {there.data_dir}"):
        if not _is_being_moved(there):
            _require_room(checked, there)
            _write_aside(folder, checked, there, incomplete=incomplete)
        _move(there)
        prepare_data_dir(there.data_dir, there.network)


def _require_room(checked: Checked, there: Destination) -> None:
    disk = os.statvfs(there.data_dir)
    free = disk.f_bavail * disk.f_frsize
    if free < checked.bytes + _RESERVE:
        raise OutOfReach(
            f"the disk of {there.data_dir} has {free >> 20} MiB free, and the restore takes "
            f"{(checked.bytes + _RESERVE) >> 20} MiB: make room, or let PINNING_DATA_DIR name a larger disk"
        )


def _write_aside(folder: BackupFolder, checked: Checked, there: Destination, *, incomplete: bool) -> None:
    if there.aside.exists():
        shutil.rmtree(there.aside)
    there.aside.mkdir(mode=0o700)
    prepare_folder(there.aside / BLOCKS)
    lost = [block for block in checked.blocks if copy_block(folder.blocks, there.aside / BLOCKS, block) is None]
    if not incomplete:
        require_complete(folder, lost)
    for place in checked.manifest.files:
        if place != MARK:  # `prepare_data_dir` writes it at the end
            _copy(folder.file(place), there.place_aside(place))
    make_durable([str(path) for path in there.aside.rglob("*")], str(there.aside))
    if there.database_aside is not None:
        make_durable([str(there.database_aside)], str(there.database_aside.parent))
    replace(there.aside / MANIFEST, checked.manifest.written())


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(file, target)
    target.chmod(0o600)


def _move(there: Destination) -> None:
    """Moves the blocks last but one, the database last."""
    for entry in sorted(set(os.listdir(there.aside)) - {MANIFEST, BLOCKS}):
        os.replace(there.aside / entry, there.data_dir / entry)
    if (there.aside / BLOCKS).exists():
        os.replace(there.aside / BLOCKS, there.data_dir / BLOCKS)
    if there.database is not None and there.database_aside is not None and there.database_aside.exists():
        os.replace(there.database_aside, there.database)
        make_durable([str(there.database)], str(there.database.parent))
    make_durable([str(there.data_dir)], str(there.data_dir))
    if (there.data_dir / RESTORED).exists():  # left by a kill at the very end; nothing reads it
        shutil.rmtree(there.data_dir / RESTORED)
    os.replace(there.aside, there.data_dir / RESTORED)
    shutil.rmtree(there.data_dir / RESTORED)
