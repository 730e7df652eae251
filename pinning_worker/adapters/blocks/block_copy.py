"""Copies blocks from one block folder into another, and verifies each by its hash on the way.

A copy is read and written: no hard link and no shared extents (`cp --reflink`), because one fault of the disk would
then take both. It appears whole, by a rename, or not at all. The source may belong to a running worker: the quarantine
holds a block that it frees meanwhile.

These functions block, sync nothing, and raise OSError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pinning_worker.adapters.blocks.disk import file_of, multihash_of
from pinning_worker.adapters.blocks.quarantine import FREED, day_folders
from pinning_worker.domain.content.multihash import Multihash, is_hash_of

_HALF = "half-written"  # one writer at a time, so one name is enough


def prepare_folder(folder: Path) -> None:
    for name in ("", *(f"{last_byte:02x}" for last_byte in range(256))):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _HALF).unlink(missing_ok=True)


def size_of(folder: Path, multihash: Multihash) -> int | None:
    try:
        return os.stat(file_of(str(folder), multihash)).st_size
    except FileNotFoundError:
        return None


def is_whole(folder: Path, multihash: Multihash) -> bool:
    return is_hash_of(multihash, _read(file_of(str(folder), multihash)))


def copy_block(source: Path, target: Path, multihash: Multihash) -> int | None:
    """Returns the size in bytes; None if the source has no whole copy, and then nothing is written."""
    for file in _places(source, multihash):
        data = _read(file)
        if data is not None and is_hash_of(multihash, data):
            _write(target, multihash, data)
            return len(data)
    return None


def blocks_in(folder: Path) -> Iterator[Multihash]:
    """Lists the blocks by their file names; skips other files."""
    for last_byte in range(256):
        with suppress(FileNotFoundError):
            for name in sorted(os.listdir(folder / f"{last_byte:02x}")):
                if (multihash := multihash_of(name)) is not None:
                    yield multihash


def remove_block(folder: Path, multihash: Multihash) -> None:
    os.unlink(file_of(str(folder), multihash))


def _places(folder: Path, multihash: Multihash) -> Iterator[str]:
    """The block's place, then its places in quarantine; then its own place again, in case it is just being recalled."""
    shelf = file_of(str(folder), multihash)
    yield shelf
    for _, day in reversed(list(day_folders(f"{folder}/{FREED}"))):
        yield f"{day}/{os.path.basename(shelf)}"
    yield shelf


def _read(file: str) -> bytes | None:
    try:
        with open(file, "rb", buffering=0) as block:
            return block.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(folder: Path, multihash: Multihash, data: bytes) -> None:
    half = folder / _HALF
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.rename(half, file_of(str(folder), multihash))
