"""The check of a back-up: every block that its database calls kept is there, and unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pinning_worker.adapters.blocks.block_copy import blocks_in, is_whole, size_of
from pinning_worker.adapters.blocks.disk import file_of
from pinning_worker.adapters.sql.migrate import require_known
from pinning_worker.adapters.sql.snapshot import read_snapshot
from pinning_worker.backup.errors import Damaged
from pinning_worker.backup.folder import DATABASE, BackupFolder
from pinning_worker.backup.manifest import Manifest, sha256_of
from pinning_worker.domain.content.multihash import Multihash

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Checked:
    """`blocks`: the whole ones, to put back. `lost`: called kept, and missing or damaged in the back-up."""

    manifest: Manifest
    blocks: tuple[Multihash, ...]
    lost: tuple[Multihash, ...]
    bytes: int


def check(folder: BackupFolder, *, quick: bool) -> Checked:
    """Checks files and blocks. `quick`: blocks by name and size only.

    Raises Damaged, WrongPlace, OSError; UnusableDatabase, NeedsMending, UnreadableDatabase for the back-up's database.
    """
    manifest = folder.manifest()
    _check_files(folder, manifest)
    held = _held(folder, manifest)
    lost = [block for block in held if not _is_there(folder, block, quick=quick)]
    whole = sorted(set(held) - set(lost))
    size = sum(size_of(folder.blocks, block) or 0 for block in whole)
    if quick and not lost and size != manifest.block_bytes and DATABASE in manifest.files:
        raise Damaged(
            f"the blocks in {folder.blocks} have {size} bytes, and {manifest.block_bytes} were written: some are "
            "damaged. Without --quick it is said which"
        )
    files = sum(folder.file(place).stat().st_size for place in manifest.files)
    return Checked(manifest, tuple(whole), tuple(lost), size + files)


def require_complete(folder: BackupFolder, lost: Sequence[Multihash]) -> None:
    """Raises Damaged if blocks are lost."""
    if lost:
        names = "\n".join(f"  - {file_of(str(folder.blocks), block)}" for block in lost[:_SHOWN])
        more = f"\n  and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise Damaged(
            f"{len(lost)} blocks that the database of the backup calls kept are missing or damaged:\n{names}{more}\n"
            "Restore another backup; or restore this one with --incomplete: the worker then looks for them again, and "
            "owes what it does not find"
        )


def _check_files(folder: BackupFolder, manifest: Manifest) -> None:
    for place, digest in manifest.files.items():
        file = folder.file(place)
        if not file.exists():
            raise Damaged(f"{file} is missing: the backup is not whole. Restore another one")
        if sha256_of(file) != digest:
            raise Damaged(f"{file} is not what was written: the backup is damaged, or was changed. Restore another one")


def _held(folder: BackupFolder, manifest: Manifest) -> tuple[Multihash, ...]:
    """The kept blocks. Without a database (PostgreSQL) every block in the folder counts as kept."""
    if DATABASE not in manifest.files:
        return tuple(blocks_in(folder.blocks))
    contents = read_snapshot(folder.file(DATABASE))
    require_known(contents.revision)
    return contents.held


def _is_there(folder: BackupFolder, block: Multihash, *, quick: bool) -> bool:
    return bool(size_of(folder.blocks, block)) if quick else is_whole(folder.blocks, block)
