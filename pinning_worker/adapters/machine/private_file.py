"""Files for the worker's user alone (0600): whole or absent, and on disk when the call returns."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def create(path: Path, data: bytes) -> None:
    """Raises FileExistsError if a file of that name exists, and leaves that as it is."""
    with _draft(path, data) as draft:
        os.link(draft, path)  # unlike a rename, a link never replaces an existing file
    sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    with _draft(path, data) as draft:
        os.replace(draft, path)
    sync_folder(path.parent)


@contextmanager
def _draft(path: Path, data: bytes) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes new names in it (a link, a rename) survive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
