"""The folder of a back-up. Its layout is that of a data directory, so that it can be read without this program:

    backup.json   its contents; present only if it is whole
    backup-of     the id of the worker's store; locked while a back-up is taken
    pinning.db    blocks/store.json    blocks/receipts.jsonl    identity.key    …
    blocks/7f/…   the blocks; an extra one does no harm to an older `pinning.db`
    next/         the next state of everything but the blocks, while the back-up runs

With `next/backup.json` the next state is whole: from then on its files count, in `next/` or already in place. So a
kill at any moment leaves the last whole state, or the next one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pinning_worker.adapters.machine.private_file import replace
from pinning_worker.adapters.machine.process_lock import taken_by
from pinning_worker.backup.errors import Damaged, WrongPlace
from pinning_worker.backup.manifest import MANIFEST, Manifest, read_manifest

OWNER = "backup-of"
NEXT = "next"
BLOCKS = "blocks"
DATABASE = "pinning.db"
_FRESH_VOLUME = frozenset({"lost+found"})


class BackupBusy(Exception):
    """Another back-up is writing into the same folder."""


class BackupFolder:
    """`path` is absolute. Methods may raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks = path / BLOCKS
        self.next = path / NEXT

    @contextmanager
    def held_for(self, store_id: str) -> Iterator[None]:
        """Makes the folder if needed, and locks it while the block runs. Raises WrongPlace, BackupBusy."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = self.path / OWNER
        if not owner.exists():
            names = {entry.name for entry in self.path.iterdir()} - _FRESH_VOLUME
            others = sorted(name for name in names if not name.startswith(f".{OWNER}."))  # a kill leaves such names
            if others:
                raise WrongPlace(f"{self.path} holds {others[0]} and is no backup: name an empty or a new directory")
            replace(owner, f"{store_id}\n".encode())
        found = owner.read_text("ascii", "replace").strip()
        if found != store_id:
            raise WrongPlace(f"{self.path} is the backup of another worker: name an empty or a new directory")
        self.path.chmod(0o700)
        descriptor = os.open(owner, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _lock(descriptor, self.path)
            yield
        finally:
            os.close(descriptor)

    def clear_up(self) -> bool:
        """Finishes an earlier whole next state, or deletes an incomplete one. True: the last back-up was cut short."""
        if not self.next.exists():
            return False
        if (self.next / MANIFEST).exists():
            self.settle()
            return False
        shutil.rmtree(self.next)
        return True

    def settle(self) -> None:
        """Moves the next state, which is whole, into the place of the last one; the manifest goes last."""
        manifest = read_manifest(self.next / MANIFEST)
        for place in (*manifest.files, MANIFEST):
            if (self.next / place).exists():
                os.replace(self.next / place, self.path / place)
        shutil.rmtree(self.next)

    def manifest(self) -> Manifest:
        """The manifest of the last whole state. Raises Damaged, WrongPlace."""
        if not self.path.is_dir():
            raise WrongPlace(f"{self.path} is no directory: name one that `pinning-worker backup` has made")
        for file in (self.next / MANIFEST, self.path / MANIFEST):
            if file.exists():
                return read_manifest(file)
        if (self.path / OWNER).exists():
            raise Damaged(f"{self.path} has no {MANIFEST}: the backup was cut short. Take it again, or restore another")
        raise WrongPlace(
            f"{self.path} has no {MANIFEST}, so `pinning-worker backup` did not make it. Files that were copied by "
            'hand are put back by hand: see "Back-up" in docs/operating.md'
        )

    def file(self, place: str) -> Path:
        """The present path of a file of the manifest's state."""
        waiting = self.next / place
        return waiting if (self.next / MANIFEST).exists() and waiting.exists() else self.path / place


def _lock(descriptor: int, path: Path) -> None:
    if taken_by(descriptor) is not None:
        raise BackupBusy(f"another backup into {path} is being taken: wait for it")
