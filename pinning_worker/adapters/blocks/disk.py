"""Blocks on disk: one file each, named by its multihash.

    <path>/7f/ciqovs…   the block; the folder is the multihash's last byte, the name its base32
    <path>/aside/…      blocks being written; emptied by `open`

Rules: a file appears whole (written aside, then renamed), or not at all. Nothing is synced by a put: a power cut may
take or shorten what no `sync` named, so the story syncs and audits before it promises. One worker has the folder to
itself. Disk calls happen in threads, one hop for each call of the port (for long lists: for each piece of it), at most
eight at once; a call that has begun is finished even if the asking task is cancelled.
"""

from __future__ import annotations

import errno
import os
from base64 import b32decode, b32encode
from binascii import Error as BadBase32
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Self, TypeVar

import trio

from pinning_worker.adapters.blocks.durability import make_durable
from pinning_worker.domain.multihash import is_hash_of
from pinning_worker.ports import DiskFull, Trouble

Result = TypeVar("Result")

_ASIDE = "aside"
_AT_ONCE = 8
_NAMES_AT_ONCE = 1000
_READS_AT_ONCE = 32  # blocks that an audit reads before it can be cancelled
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskBlocks:
    """Port Blocks. Every method may raise Trouble (the disk fails); `put` and `sync` DiskFull as well."""

    def __init__(self, path: Path) -> None:
        """Use `open`, which makes the folders."""
        self._path = str(path)
        self._threads = trio.CapacityLimiter(_AT_ONCE)
        self._numbers = count()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Makes what is missing, and throws away what a killed worker had half written. Raises Trouble, DiskFull."""
        blocks = cls(path)
        await blocks._in_thread(blocks._prepare)
        return blocks

    async def put(self, multihash: bytes, data: bytes) -> None:
        await self._in_thread(self._write, multihash, data)

    async def get(self, multihash: bytes) -> bytes | None:
        return await self._in_thread(self._read, multihash)

    async def size(self, multihash: bytes) -> int | None:
        return await self._in_thread(self._size, multihash)

    async def sync(self, multihashes: Sequence[bytes]) -> None:
        await self._in_thread(make_durable, [self._file(multihash) for multihash in multihashes], self._path)

    async def audit(self, multihashes: Sequence[bytes]) -> set[bytes]:
        """Reads through the page cache: finds what never arrived, was cut short or changed, not a dying disk."""
        bad: set[bytes] = set()
        for piece in _pieces(multihashes, _READS_AT_ONCE):
            bad |= await self._in_thread(self._audit, piece)
        return bad

    async def delete(self, multihashes: Sequence[bytes]) -> None:
        for piece in _pieces(multihashes, _NAMES_AT_ONCE):
            await self._in_thread(self._unlink, piece)

    async def all(self) -> AsyncGenerator[Sequence[bytes], None]:
        """Of blocks that come or go meanwhile, some are seen and some not."""
        for last_byte in range(256):
            for piece in _pieces(await self._in_thread(self._list, last_byte), _NAMES_AT_ONCE):
                yield piece

    async def _in_thread(self, work: Callable[..., Result], *given: object) -> Result:
        try:
            return await trio.to_thread.run_sync(work, *given, limiter=self._threads)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise DiskFull(f"no room for blocks in {self._path}: {error.strerror}") from error
            raise Trouble(f"the blocks in {self._path} are out of reach: {error}") from error

    # ---------------------------------------------------------------- in a thread

    def _prepare(self) -> None:
        for folder in (_ASIDE, *(f"{last_byte:02x}" for last_byte in range(256))):
            os.makedirs(f"{self._path}/{folder}", exist_ok=True)
        for entry in os.scandir(f"{self._path}/{_ASIDE}"):
            os.unlink(entry.path)
        make_durable([self._path], self._path)

    def _file(self, multihash: bytes) -> str:
        return f"{self._path}/{multihash[-1]:02x}/{b32encode(multihash).decode().rstrip('=').lower()}"

    def _write(self, multihash: bytes, data: bytes) -> None:
        """A file of the right length stays; a shorter one is what a power cut left."""
        if self._size(multihash) == len(data):
            return
        aside = f"{self._path}/{_ASIDE}/{next(self._numbers)}"
        try:
            with open(aside, "xb", buffering=0) as file:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
            os.rename(aside, self._file(multihash))
        except OSError:
            _unlink_if_there(aside)
            raise

    def _read(self, multihash: bytes) -> bytes | None:
        try:
            with open(self._file(multihash), "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _size(self, multihash: bytes) -> int | None:
        try:
            return os.stat(self._file(multihash)).st_size
        except FileNotFoundError:
            return None

    def _audit(self, multihashes: Sequence[bytes]) -> set[bytes]:
        return {multihash for multihash in multihashes if not is_hash_of(multihash, self._read(multihash))}

    def _unlink(self, multihashes: Sequence[bytes]) -> None:
        for multihash in multihashes:
            _unlink_if_there(self._file(multihash))

    def _list(self, last_byte: int) -> list[bytes]:
        names = os.listdir(f"{self._path}/{last_byte:02x}")
        return [multihash for multihash in map(_multihash, names) if multihash is not None]


def _multihash(name: str) -> bytes | None:
    """None for a file that is not ours."""
    try:
        return b32decode(name.upper() + "=" * (-len(name) % 8))
    except (BadBase32, ValueError):
        return None


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _pieces(values: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (values[start : start + size] for start in range(0, len(values), size))
