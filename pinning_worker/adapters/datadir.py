"""The data directory: ours alone (mode 0700), of one network, with one worker at a time.

A file `network` marks a directory as ours; one that holds other things and no mark is refused, so that a slip in a
setting tightens nobody's home directory. The lock is flock(2) on `worker.lock`: the kernel lets go of it when the
process ends, however it ends, so there is no stale lock to remove. Readers take no lock. A folder `.restoring` is half
a restore, which nobody starts.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "network"
LOCK = "worker.lock"
RESTORING = ".restoring"  # a restore that is going on, or was cut short
RESTORED = ".restored"  # what is left of one that was finished; nobody reads it
# What may be there before the mark is: a fresh volume's own, and all that an operator brings along from a back-up.
_WELCOME = frozenset(
    {"lost+found", "identity.key", "swarm.key", "bootstrap.peers", "webrtc.pem", "blocks", LOCK, RESTORED}
    | {"pinning.db", "pinning.db-wal", "pinning.db-shm"}
)
_HEADERS = "headers-"


class DataDirRefused(Exception):
    """The directory cannot be this worker's. The text says why, and what to do."""


class DataDirHeld(DataDirRefused):
    """Another worker runs on it; its pid is in the text."""


def prepare_data_dir(path: Path, network: str) -> None:
    """Makes the directory and its parents, marks it, and closes it to others. Repeatable. Raises DataDirRefused."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        _mark(path, network)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise _unusable(path, error) from error


@contextmanager
def hold_data_dir(path: Path, network: str) -> Iterator[None]:
    """Prepares it, and holds it for this process while the block runs. Raises DataDirRefused, DataDirHeld."""
    prepare_data_dir(path, network)
    with _held(path):
        yield


@contextmanager
def hold_for_restore(path: Path) -> Iterator[None]:
    """As above, and leaves it unmarked: nothing is there yet that a worker could start on."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise _unusable(path, error) from error
    with _held(path):
        yield


@contextmanager
def _held(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        _lock(descriptor, path)
        _write_pid(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> DataDirRefused:
    return DataDirRefused(f"the data directory {path} cannot be used: {error.strerror} (PINNING_DATA_DIR names it)")


def _mark(path: Path, network: str) -> None:
    mark = path / MARK
    if (path / RESTORING).exists():
        raise DataDirRefused(
            f"a restore into {path} is going on, or was cut short: run the same `pinning-worker restore` again"
        )
    try:
        found = mark.read_text("utf-8").strip()
    except FileNotFoundError:
        names = {entry.name for entry in path.iterdir()}
        others = sorted(name for name in names - _WELCOME if not name.startswith(_HEADERS))
        if others:
            raise DataDirRefused(
                f"{path} holds {others[0]} and is no data directory of a worker: let PINNING_DATA_DIR name an empty "
                "or a new one"
            ) from None
        mark.write_text(f"{network}\n", "utf-8")
        return
    if found != network:
        raise DataDirRefused(
            f"{path} is the data directory of a worker on {found}, and PINNING_NETWORK is {network}: "
            "let PINNING_DATA_DIR name another one for each network"
        )


def _write_pid(descriptor: int, path: Path) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise _unusable(path, error) from error


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise DataDirHeld(
            f"another worker (pid {holder}) runs on {path}: stop it, or let PINNING_DATA_DIR name another directory"
        ) from None
