"""Blocks on disk: one file each, named by its multihash.

    <path>/7f/ciqovs…   the block; the folder is the multihash's last byte, the name its base32
    <path>/aside/…      blocks being written; emptied by `open`
    <path>/freed/…      quarantine (`quarantine.py`)

Rules: a file appears whole (written aside, then renamed), or not at all. A put syncs nothing: a power cut may take or
shorten all that no `sync` named, so the story syncs and audits before it promises. A read checks the hash, so no
corrupted block is served. One worker has the folder to itself. Disk calls happen in threads, one hop for each call of
the port (for long lists: for each piece of it), at most eight at once; a call that has begun is finished even if the
calling task is cancelled.
"""

from __future__ import annotations

import errno
import os
from base64 import b32decode, b32encode
from binascii import Error as BadBase32
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path
from typing import Self, TypeVar

import structlog
import trio

from pinning_worker.adapters.blocks.durability import make_durable
from pinning_worker.adapters.blocks.quarantine import FREED, Quarantine
from pinning_worker.adapters.machine.disk_faults import trouble_of
from pinning_worker.domain.content.multihash import Multihash, is_hash_of
from pinning_worker.ports.content import Quarantined
from pinning_worker.ports.world import DiskFull

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

MIB = 1 << 20
ASIDE = "aside"
_ROOM_AT_ONCE = 64 * MIB  # deleted from quarantine when the disk is full
_RESERVE = 1024 * MIB  # kept free of quarantine, for the database and the log; on a small disk a twentieth of it
_AT_ONCE = 8
_NAMES_AT_ONCE = 1000
_READS_AT_ONCE = 32  # blocks that an audit reads before it can be cancelled
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_ROTTEN = frozenset({errno.EIO, errno.EBADMSG, errno.EUCLEAN})  # this file cannot be read; others can


def file_of(path: str, multihash: Multihash) -> str:
    """The path of a block in a block folder."""
    return f"{path}/{multihash[-1]:02x}/{b32encode(multihash).decode().rstrip('=').lower()}"


class DiskBlocks:
    """Port Blocks. Every method may raise Trouble (the disk fails); `put` and `sync` DiskFull as well."""

    def __init__(self, path: Path, most_unpaid: int | None = None) -> None:
        """Use `open`, which makes the folders. `most_unpaid` limits the quarantined bytes that were never paid for."""
        self._path = str(path)
        self._quarantine = Quarantine(f"{path}/{FREED}", most_unpaid)
        self._broken: set[Multihash] = set()  # found by a read, and not replaced yet
        self.found_broken: Callable[[Multihash], None] = lambda _multihash: None
        self._threads = trio.CapacityLimiter(_AT_ONCE)
        self._numbers = count()

    @classmethod
    async def open(cls, path: Path, most_unpaid: int | None = None) -> Self:
        """Makes missing folders, and removes files that a killed worker left half written. Raises Trouble, DiskFull."""
        blocks = cls(path, most_unpaid)
        await blocks._in_thread(blocks._prepare)
        return blocks

    async def put(self, multihash: Multihash, data: bytes) -> None:
        await self._in_thread(self._write, multihash, data)

    async def get(self, multihash: Multihash) -> bytes | None:
        data, is_whole = await self._in_thread(self._read_checked, multihash)
        if data is not None and not is_whole:
            log.error("block.broken", multihash=multihash.hex(), bytes=len(data))
            self._broken.add(multihash)
            self.found_broken(multihash)
            return None
        return data

    async def size(self, multihash: Multihash) -> int | None:
        return (await self.sizes([multihash])).get(multihash)

    async def sizes(self, multihashes: Sequence[Multihash]) -> dict[Multihash, int]:
        found: dict[Multihash, int] = {}
        for piece in _pieces(multihashes, _NAMES_AT_ONCE):
            found |= await self._in_thread(self._sizes, piece)
        return found

    async def sync(self, multihashes: Sequence[Multihash]) -> None:
        await self._in_thread(make_durable, [self._file(multihash) for multihash in multihashes], self._path)

    async def audit(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        """Reads through the page cache: finds blocks that are missing, cut short or changed, not a dying disk."""
        bad: set[Multihash] = set()
        for piece in _pieces(multihashes, _READS_AT_ONCE):
            bad |= await self._in_thread(self._audit, piece)
        return bad

    async def free(self, multihashes: Sequence[Multihash], day: date, *, was_paid: bool) -> None:
        for piece in _pieces(multihashes, _NAMES_AT_ONCE):
            await self._in_thread(partial(self._free, piece, day, was_paid=was_paid))

    async def remember(self, multihashes: Sequence[Multihash], day: date) -> None:
        for piece in _pieces(multihashes, _NAMES_AT_ONCE):
            await self._in_thread(self._remember, piece, day)

    async def recall(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        recalled: set[Multihash] = set()
        for piece in _pieces(multihashes, _READS_AT_ONCE):
            recalled |= await self._in_thread(self._recall, piece)
        return recalled

    async def purge(self, before: date) -> None:
        await self._in_thread(self._purge, before)

    async def quarantined(self) -> Sequence[Quarantined]:
        return await self._in_thread(self._quarantine.days)

    async def all(self) -> AsyncGenerator[Sequence[Multihash], None]:
        """Blocks that come or go meanwhile may be missed or listed."""
        for last_byte in range(256):
            for piece in _pieces(await self._in_thread(self._list, last_byte), _NAMES_AT_ONCE):
                yield piece

    async def _in_thread(self, work: Callable[..., Result], *given: object) -> Result:
        try:
            return await trio.to_thread.run_sync(work, *given, limiter=self._threads)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise DiskFull(f"no room for blocks in {self._path}: {error.strerror}") from error
            raise trouble_of(f"the blocks in {self._path} are out of reach", error) from error

    # ---------------------------------------------------------------- in a thread

    def _prepare(self) -> None:
        for folder in (ASIDE, *(f"{last_byte:02x}" for last_byte in range(256))):
            os.makedirs(f"{self._path}/{folder}", exist_ok=True)
        for entry in os.scandir(f"{self._path}/{ASIDE}"):
            os.unlink(entry.path)
        self._quarantine.open()
        make_durable([self._path], self._path)

    def _file(self, multihash: Multihash) -> str:
        return file_of(self._path, multihash)

    def _write(self, multihash: Multihash, data: bytes) -> None:
        """Keeps a file of the right length, unless it is known to be broken. A power cut leaves a shorter one."""
        if self._size(multihash) == len(data) and multihash not in self._broken:
            return
        try:
            self._write_aside(multihash, data)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._make_room(max(len(data), _ROOM_AT_ONCE)):
                raise
            self._write_aside(multihash, data)
        self._broken.discard(multihash)

    def _write_aside(self, multihash: Multihash, data: bytes) -> None:
        aside = f"{self._path}/{ASIDE}/{next(self._numbers)}"
        try:
            with open(aside, "xb", buffering=0) as file:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
            os.rename(aside, self._file(multihash))
        except OSError:
            _unlink_if_there(aside)
            raise

    def _read(self, multihash: Multihash) -> bytes | None:
        try:
            with open(self._file(multihash), "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _read_checked(self, multihash: Multihash) -> tuple[bytes | None, bool]:
        try:
            data = self._read(multihash)
        except OSError as error:
            if error.errno not in _ROTTEN:
                raise
            return b"", False
        return data, is_hash_of(multihash, data)

    def _make_room(self, size: int) -> int:
        deleted = self._quarantine.make_room(size)
        if deleted:
            log.warning("quarantine.cut_short", reason="the disk is full", deleted_bytes=deleted)
        return deleted

    def _purge(self, before: date) -> None:
        self._quarantine.purge(before)
        disk = os.statvfs(self._path)
        reserve = min(_RESERVE, disk.f_blocks * disk.f_frsize // 20)
        missing = reserve - disk.f_bavail * disk.f_frsize
        if missing > 0:
            self._make_room(missing)

    def _free(self, multihashes: Sequence[Multihash], day: date, *, was_paid: bool) -> None:
        for multihash in multihashes:
            self._quarantine.take(self._file(multihash), day, was_paid=was_paid)
            self._broken.discard(multihash)

    def _remember(self, multihashes: Sequence[Multihash], day: date) -> None:
        for multihash in multihashes:
            self._quarantine.link(self._file(multihash), day)

    def _recall(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        if self._quarantine.is_empty():
            return set()
        missing = [multihash for multihash in multihashes if self._size(multihash) is None]
        for multihash in missing:
            data = self._quarantine.give_back(multihash, self._file(multihash))
            if data is not None:
                self._write(multihash, data)
        return {multihash for multihash in missing if self._size(multihash) is not None}

    def _sizes(self, multihashes: Sequence[Multihash]) -> dict[Multihash, int]:
        sizes = {multihash: self._size(multihash) for multihash in multihashes if multihash not in self._broken}
        return {multihash: size for multihash, size in sizes.items() if size is not None}

    def _size(self, multihash: Multihash) -> int | None:
        try:
            return os.stat(self._file(multihash)).st_size
        except FileNotFoundError:
            return None

    def _audit(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        return {multihash for multihash in multihashes if not self._read_checked(multihash)[1]}

    def _list(self, last_byte: int) -> list[Multihash]:
        names = os.listdir(f"{self._path}/{last_byte:02x}")
        return [multihash for multihash in map(multihash_of, names) if multihash is not None]


def multihash_of(name: str) -> Multihash | None:
    """The multihash in a file name; None if the file is no block."""
    try:
        return Multihash(b32decode(name.upper() + "=" * (-len(name) % 8)))
    except (BadBase32, ValueError):
        return None


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _pieces(values: Sequence[Multihash], size: int) -> Iterator[Sequence[Multihash]]:
    return (values[start : start + size] for start in range(0, len(values), size))
