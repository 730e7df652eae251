"""The work under way, and how often each piece ended in a crash: two files in the data directory.

    at-work        when the machine was started; then one slot of 512 bytes for each piece of work under way, as text.
                   Written without a sync: the page cache outlives a process, whatever ends it.
    crashes.json   {"version": …, "crashes": {work: count}}: replaced whole, on each crash and when one is forgiven

A worker that stops in order leaves no `at-work`: it removes the file when the order comes, for a SIGKILL may follow. If
a start finds the file, it names the work of the last run at its death: each piece has crashed once more. None of it
counts if the machine was started since: a power cut or a reset is nobody's fault, and would hit long work again and
again. Another version of this program forgives all: the fault may be mended.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from pinning_worker.adapters.machine.json_lines import read_object, whole_number
from pinning_worker.adapters.machine.private_file import replace
from pinning_worker.ports.world import Trouble

AT_WORK, CRASHES = "at-work", "crashes.json"
SLOT_BYTES = 512
SAME_START_SECONDS = 10  # a clock may have been set by this much; a note needs longer to reach the disk
_WORK = re.compile("[a-z-]+ [0-9A-Za-z]+( [0-9a-f]+)?")  # as `work_name` writes it; a corrupted line matches nothing
MOST_REMEMBERED = 200  # crashed pieces of work: a small file; the oldest entry is dropped first

log = structlog.get_logger(__name__)


class CrashFile:
    """Port CrashNotes."""

    def __init__(self, folder: Path, version: str, counts: dict[str, int], booted_at: int) -> None:
        self._file, self._version, self._counts, self._booted_at = folder / CRASHES, version, counts, booted_at
        self._slots: list[str | None] = []
        self._at_work = -1
        self._is_open = False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Counts a crash for each piece of work at which the last run died. The notes of this run stay only if a fault
        of ours ends the block. The worker also runs if the file cannot be written: a death then blames nobody."""
        path = self._file.with_name(AT_WORK)
        died_at = self._died_at(path)
        for name in died_at:
            self._count(name)
        if died_at:
            log.error("worker.died", at=sorted(died_at), effect="each is counted as a crash")
            self._store()
        try:
            self._at_work = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("crashes.not_stored", file=str(path), why=str(error))
        self._write_slot(0, str(self._booted_at))
        self._is_open = True
        try:
            yield
        except Trouble:
            self.forget_at_work()
            raise
        else:
            self.forget_at_work()
        finally:
            self._is_open = False
            if self._at_work >= 0:
                os.close(self._at_work)

    def forget_at_work(self) -> None:
        """Called when a stop has been ordered: a death from now on is no crash. Does nothing before `open`, while the
        file still describes the last run."""
        if self._is_open:
            with suppress(OSError):  # a disk that has become read-only; the next start then counts too many once
                self._file.with_name(AT_WORK).unlink(missing_ok=True)

    def _died_at(self, path: Path) -> set[str]:
        told, *names = _read_slots(path) or ("",)
        if names and told.isdecimal() and abs(int(told) - self._booted_at) > SAME_START_SECONDS:
            log.warning("worker.machine_restarted", at=sorted(set(names)), effect="none is counted as a crash")
            return set()
        return set(names)

    def counts(self) -> Mapping[str, int]:
        return self._counts

    def begin(self, name: str) -> None:
        free = next((index for index, taken in enumerate(self._slots) if taken is None), len(self._slots))
        self._slots[free:] = [name, *self._slots[free + 1 :]]
        self._write_slot(free + 1, name)

    def end(self, name: str, *, crashed: bool = False) -> int:
        slot = self._slots.index(name)
        self._slots[slot] = None
        self._write_slot(slot + 1, "")
        if crashed:
            self._count(name)
            self._store()
        elif self._counts.pop(name, None) is not None:
            self._store()
        return self._counts.get(name, 0)

    def forgive(self, subjects: str) -> int:
        """Forgets the crashes of all work on that CID or transaction, and returns how many pieces. Raises OSError."""
        forgiven = [name for name in self._counts if subjects in name.split(" ")]
        for name in forgiven:
            del self._counts[name]
        if forgiven:
            self._write()
        return len(forgiven)

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.pop(name, 0) + 1
        while len(self._counts) > MOST_REMEMBERED:
            del self._counts[next(iter(self._counts))]

    def _write_slot(self, slot: int, text: str) -> None:
        line = text.encode()[: SLOT_BYTES - 1].ljust(SLOT_BYTES - 1) + b"\n"
        try:
            os.pwrite(self._at_work, line, slot * SLOT_BYTES)
        except OSError as error:  # a full disk: a death now would blame nobody
            log.debug("crashes.not_noted", why=str(error))

    def _store(self) -> None:
        try:
            self._write()
        except OSError as error:
            log.warning("crashes.not_stored", file=str(self._file), why=str(error))

    def _write(self) -> None:
        told = {"version": self._version, "crashes": self._counts}
        replace(self._file, json.dumps(told, indent=1).encode() + b"\n")


def read_crash_file(folder: Path, version: str, booted_at: int | None = None) -> CrashFile:
    """Reads the counts; forgets those of another version, and an unreadable file. `booted_at` is the start of the
    machine in seconds since 1970; None takes it from the machine."""
    try:
        found = read_object(folder / CRASHES) or {}
        crashes = found.get("crashes") if found.get("version") == version else None
        named = crashes.items() if isinstance(crashes, dict) else ()
        counts = {name: whole_number(count) for name, count in named if _WORK.fullmatch(name)}
    except (OSError, ValueError) as error:
        log.warning("crashes.not_read", file=str(folder / CRASHES), why=str(error))
        counts = {}
    return CrashFile(folder, version, counts, _booted_at() if booted_at is None else booted_at)


def _booted_at() -> int:
    since_then = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return round(time.time() - time.clock_gettime(since_then))


def _read_slots(path: Path) -> list[str]:
    try:
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("crashes.not_read", file=str(path), why=str(error))
        return []
    return [lines[0].strip(), *(line.strip() for line in lines[1:] if _WORK.fullmatch(line.strip()))]
