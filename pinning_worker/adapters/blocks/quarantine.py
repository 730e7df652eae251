"""Where freed blocks wait: out of sight, and within reach for some days.

    <path>/paid/2026-11-29/ciqovs…     freed that day; paid for once, or of unknown origin
    <path>/unpaid/2026-11-29/ciqovs…   freed that day, and never paid for

Rules: a block comes and goes by a rename or a link, so it costs no room and no copying. Unpaid blocks cannot push out
paid ones: they have room for `most_unpaid` bytes, beyond which the oldest of them go. A tiny block counts as the room
of its file on the disk. A day folder is deleted whole when its day is over; `make_room` deletes the oldest, unpaid
first; the copy of a recalled block is a second name of one file, and gives no room.

These functions block, and are called from several threads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from threading import Lock

from pinning_worker.domain.content.multihash import Multihash, is_hash_of
from pinning_worker.domain.content.sizes import disk_room
from pinning_worker.ports.content import Quarantined

FREED = "freed"  # the quarantine's folder in the block folder
PAID, UNPAID = "paid", "unpaid"


class Quarantine:
    """`most_unpaid` is in bytes, None for no limit. Every method may raise OSError."""

    def __init__(self, path: str, most_unpaid: int | None) -> None:
        self._path, self._most_unpaid = path, most_unpaid
        self._unpaid_room = 0
        self._lock = Lock()

    def open(self) -> None:
        for kind in (PAID, UNPAID):
            os.makedirs(f"{self._path}/{kind}", exist_ok=True)
        self._recount()

    def take(self, file: str, day: date, *, was_paid: bool) -> None:
        """Moves a block's file here; ignores a missing one."""
        folder = f"{self._path}/{PAID if was_paid else UNPAID}/{day.isoformat()}"
        place = f"{folder}/{os.path.basename(file)}"
        try:
            size = os.stat(file).st_size
            os.makedirs(folder, exist_ok=True)
            if _is_same(file, place):  # recalled today: a rename of one link onto another does nothing
                return os.unlink(file)
            os.replace(file, place)
        except FileNotFoundError:
            return
        if not was_paid:
            self._count_unpaid(disk_room(size, 1))

    def link(self, file: str, day: date) -> None:
        """Adds a second name of a block's file, among the paid ones. Does nothing if the file system has no links."""
        folder = f"{self._path}/{PAID}/{day.isoformat()}"
        os.makedirs(folder, exist_ok=True)
        _link(file, f"{folder}/{os.path.basename(file)}")

    def give_back(self, multihash: Multihash, file: str) -> bytes | None:
        """Links a whole copy to that file; the copy stays here until its day is over. If the file system has no links,
        returns the bytes for the caller to write."""
        name = os.path.basename(file)
        for _, folder in day_folders(self._path):
            try:
                with open(f"{folder}/{name}", "rb") as copy:
                    data = copy.read()
            except OSError:  # gone just now, or unreadable: a peer may have it
                continue
            if is_hash_of(multihash, data):
                return None if _link(f"{folder}/{name}", file) else data
        return None

    def is_empty(self) -> bool:
        return next(day_folders(self._path), None) is None

    def purge(self, before: date) -> None:
        for _, folder in list(day_folders(self._path)):
            if _day_of(folder) < before:
                shutil.rmtree(folder)
        self._recount()

    def make_room(self, size: int) -> int:
        """Deletes blocks until the disk has `size` more bytes free, or none is left. Returns the bytes freed."""
        freed = sum(self._delete(size, UNPAID, of_disk=True))
        if freed < size:
            freed += sum(self._delete(size - freed, PAID, of_disk=True))
        self._recount()
        return freed

    def days(self) -> list[Quarantined]:
        found = []
        for kind, folder in day_folders(self._path):
            sizes = [file.size for file in _files(folder)]
            found.append(Quarantined(_day_of(folder), kind == PAID, len(sizes), sum(sizes)))
        return sorted(found, key=lambda each: (each.day, each.was_paid))

    def _count_unpaid(self, room: int) -> None:
        with self._lock:
            self._unpaid_room += room
            over = self._unpaid_room - self._most_unpaid if self._most_unpaid is not None else 0
            if over > 0:
                self._unpaid_room -= sum(self._delete(over, UNPAID))

    def _recount(self) -> None:
        with self._lock:
            unpaid = (file for _, folder in day_folders(self._path, UNPAID) for file in _files(folder))
            self._unpaid_room = sum(file.room for file in unpaid)

    def _delete(self, room: int, kind: str, *, of_disk: bool = False) -> Iterator[int]:
        """Deletes blocks of the oldest days until `room` is free, and yields the room of each. `of_disk` counts only
        room that the disk gets back."""
        for _, folder in list(day_folders(self._path, kind)):
            for file in _files(folder):
                if room <= 0:
                    return
                with suppress(FileNotFoundError):
                    os.unlink(file.path)
                    given = file.room if file.is_alone or not of_disk else 0
                    room -= given
                    yield given
            with suppress(OSError):  # another thread has just put a file in
                os.rmdir(folder)


def day_folders(path: str, *kinds: str) -> Iterator[tuple[str, str]]:
    """(kind, folder) of each day in the quarantine at `path`: unpaid first, and of each kind the newest last."""
    for kind in kinds or (UNPAID, PAID):
        with suppress(FileNotFoundError):
            for day in sorted(os.listdir(f"{path}/{kind}")):
                folder = f"{path}/{kind}/{day}"
                if _is_day(day) and os.path.isdir(folder):
                    yield kind, folder


def _is_same(file: str, place: str) -> bool:
    try:
        return os.path.samefile(file, place)
    except FileNotFoundError:
        return False


def _link(copy: str, file: str) -> bool:
    """False if links cannot be made here, or the copy has just gone."""
    try:
        os.link(copy, file)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    is_alone: bool  # the file has no other name

    @property
    def room(self) -> int:
        return disk_room(self.size, 1)


def _files(folder: str) -> Iterator[_File]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                found = entry.stat()
                yield _File(entry.path, found.st_size, found.st_nlink == 1)


def _is_day(name: str) -> bool:
    try:
        date.fromisoformat(name)
    except ValueError:
        return False
    return True


def _day_of(folder: str) -> date:
    return date.fromisoformat(os.path.basename(folder))
