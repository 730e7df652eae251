"""The data directory: ours alone (mode 0700), of one network, with one worker at a time.

A file `network` marks a directory as ours. A directory that holds other things and no mark is refused, so that a wrong
setting does not change the mode of somebody's home directory. The lock covers `worker.lock` (`process_lock.py`) and the
directory itself, for a file can be removed while a worker runs; readers take no lock. A folder `.restoring` marks an
unfinished restore, and no worker starts on that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pinning_worker.adapters.machine.disk_faults import is_usable, reason_of, user_name
from pinning_worker.adapters.machine.private_file import replace
from pinning_worker.adapters.machine.process_lock import note_pid, taken_by

MARK = "network"
LOCK = "worker.lock"
RESTORING = ".restoring"  # a restore under way, or cut short
RESTORED = ".restored"  # left over from a finished restore; nobody reads it
# Allowed in a directory without a mark: a fresh volume's own, and all that an operator brings along from a back-up.
_WELCOME = frozenset(
    {"lost+found", "identity.key", "swarm.key", "bootstrap.peers", "webrtc.pem", "blocks", LOCK, RESTORED}
    | {"pinning.db", "pinning.db-wal", "pinning.db-shm"}
)
_HEADERS = "headers-"
_HALF_A_MARK = f".{MARK}."  # left by a process that was killed while it wrote the mark


class DataDirRefused(Exception):
    """The directory cannot be this worker's. The text says why, and what to do."""


class DataDirHeld(DataDirRefused):
    """Another worker runs on it; its pid is in the text."""


def prepare_data_dir(path: Path, network: str) -> None:
    """Makes the directory and its parents, marks it, and sets mode 0700. Repeatable. Raises DataDirRefused."""
    require_usable(path, network)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (path / MARK).exists():
            replace(path / MARK, f"{network}\n".encode())
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise _refused(path, error) from error


def require_usable(path: Path, network: str) -> None:
    """Checks whether `prepare_data_dir` would accept it; a missing one would be made. Changes nothing.

    Raises DataDirRefused.
    """
    try:
        if not path.exists():
            above = next(folder for folder in path.absolute().parents if folder.exists())
            if not above.is_dir():
                raise DataDirRefused(_cannot_be_used(path, f"{above} is no folder"))
            _require_rights(path, above)
            return
        if not path.is_dir():
            raise DataDirRefused(f"{path} is no folder: let PINNING_DATA_DIR name one, or a name that is free")
        owner = path.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise DataDirRefused(
                f"the data directory {path} is that of user {user_name(owner)}, and this is user {user_name()}: run it "
                f"as that user, or `chown -R {user_name()} {path}`"
            )
        _require_rights(path, path)
        _require_mark(path, network)
    except OSError as error:
        raise _refused(path, error) from error


def strange_owner(path: Path) -> str | None:
    """The directory's owner, if neither this user nor root: files that root made there would be out of its reach."""
    owner = path.stat().st_uid if path.exists() else os.geteuid()
    return user_name(owner) if owner not in (0, os.geteuid()) else None


@contextmanager
def hold_data_dir(path: Path, network: str) -> Iterator[None]:
    """Prepares it, and locks it for this process while the block runs. Raises DataDirRefused, DataDirHeld."""
    prepare_data_dir(path, network)
    with _held(path):
        yield


@contextmanager
def hold_for_restore(path: Path) -> Iterator[None]:
    """Like `hold_data_dir`, but leaves it unmarked: there is nothing yet that a worker could start on."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise _refused(path, error) from error
    with _held(path):
        yield


def require_not_held(path: Path) -> None:
    """Raises DataDirHeld if a worker runs on it. Other checks report a missing or unreadable directory."""
    for place in (path / LOCK, path):
        with suppress(OSError), _opened(place, os.O_RDONLY) as descriptor:
            _lock(descriptor, path)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(_opened(path / LOCK, os.O_RDWR | os.O_CREAT))
            folder = stack.enter_context(_opened(path, os.O_RDONLY))
        except OSError as error:
            raise _refused(path, error) from error
        _lock(file, path)
        with suppress(OSError):  # a file system that locks no directories (NFS): there the file alone is locked
            _lock(folder, path)
        _write_pid(file, path)
        yield


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _require_rights(path: Path, *places: Path) -> None:
    """Raises DataDirRefused, PermissionError."""
    for place in (*places, path / MARK, path / LOCK):
        if os.path.lexists(place) and not is_usable(place):
            raise DataDirRefused(_cannot_be_used(path, f"{place} is not to be read and written by user {user_name()}"))


def _refused(path: Path, error: OSError) -> DataDirRefused:
    return DataDirRefused(_cannot_be_used(path, reason_of(error)))


def _cannot_be_used(path: Path, why: str) -> str:
    return (
        f"the data directory {path} cannot be used: {why}. It must be the worker's user's own, on a disk that can be "
        "written (PINNING_DATA_DIR names it)"
    )


def _require_mark(path: Path, network: str) -> None:
    mark = path / MARK
    if (path / RESTORING).exists():
        raise DataDirRefused(
            f"a restore into {path} is going on, or was cut short: run the same `pinning-worker restore` again"
        )
    try:
        found = mark.read_text("utf-8").strip()
    except FileNotFoundError:
        names = {entry.name for entry in path.iterdir()}
        others = sorted(name for name in names - _WELCOME if not name.startswith((_HEADERS, _HALF_A_MARK)))
        if others:
            raise DataDirRefused(
                f"{path} holds {others[0]} and is no data directory of a worker: let PINNING_DATA_DIR name an empty "
                "or a new one"
            ) from None
        return
    if not found:
        raise DataDirRefused(
            f"{mark} is empty, as a power cut leaves a file: write the worker's network into it "
            f"(`echo {network} > {mark}`)"
        )
    if found != network:
        raise DataDirRefused(
            f"{path} is the data directory of a worker on {found}, and PINNING_NETWORK is {network}: "
            "let PINNING_DATA_DIR name another one for each network"
        )


def _write_pid(descriptor: int, path: Path) -> None:
    try:
        note_pid(descriptor)
    except OSError as error:
        raise _refused(path, error) from error


def _lock(descriptor: int, path: Path) -> None:
    """Raises DataDirHeld; OSError if the file system has no such lock."""
    if (holder := taken_by(descriptor)) is not None:
        raise DataDirHeld(
            f"another worker (pid {holder}) runs on {path}: stop it, or let PINNING_DATA_DIR name another directory"
        )
