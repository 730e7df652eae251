"""The receipts once more, beside the blocks that they are about: `<path>/receipts.jsonl`, one JSON object a line.

A database can be lost while the blocks are not. What was paid stands in the chain; what was promised for it (months, at
which price) stands only in the books. This journal lets `recover` promise the same again.

Rules: a line is appended and synced before the database has it, so the journal never knows less. The last line of a
key counts. A last line that a power cut shortened is skipped. It is written anew when most of it is outdated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import structlog
import trio

from pinning_worker.adapters.disk_faults import trouble_of
from pinning_worker.adapters.private_file import replace
from pinning_worker.domain.money import Swartz
from pinning_worker.domain.receipt import Receipt
from pinning_worker.ports import Receipts

JOURNAL = "receipts.jsonl"
_OUTDATED = 4  # lines for each receipt, above which it is written anew

log = structlog.get_logger(__name__)


class JournaledReceipts:
    """Port Receipts: those of `receipts`, and a line in the journal for each that is put there. Raises Trouble."""

    def __init__(self, receipts: Receipts, file: Path) -> None:
        """Use `open`."""
        self._receipts, self._file = receipts, file
        self._one_writer = trio.Lock()

    @classmethod
    async def open(cls, receipts: Receipts, folder: Path) -> Self:
        """A journal that is missing (of an earlier version) or too long is written anew."""
        opened = cls(receipts, folder / JOURNAL)
        known = await receipts.all()
        if await trio.to_thread.run_sync(_needs_writing, opened._file, known):
            noted = await trio.to_thread.run_sync(read_journal, folder)  # the books may know less
            newest = {receipt.key: receipt for receipt in (*noted, *known)}
            await _in_thread(opened._file, write_journal, opened._file, newest.values())
        return opened

    async def put(self, receipt: Receipt) -> None:
        async with self._one_writer:
            await _in_thread(self._file, _append, self._file, _line(receipt))
        await self._receipts.put(receipt)

    async def get(self, key: str) -> Receipt | None:
        return await self._receipts.get(key)

    async def all(self) -> Sequence[Receipt]:
        return await self._receipts.all()


def read_journal(folder: Path) -> list[Receipt]:
    """The last of each key. Lines that cannot be read are logged and skipped. Raises Trouble."""
    found: dict[str, Receipt] = {}
    file = folder / JOURNAL
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise trouble_of(f"the receipts in {file} cannot be read", error) from error
    for number, line in enumerate(lines, start=1):
        try:
            receipt = _receipt(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            log.warning("receipts.line_skipped", file=str(file), line=number, why=repr(error))
            continue
        found[receipt.key] = receipt
    return list(found.values())


def write_journal(file: Path, receipts: Iterable[Receipt]) -> None:
    """Raises OSError."""
    replace(file, b"".join(map(_line, receipts)))


def _needs_writing(file: Path, known: Sequence[Receipt]) -> bool:
    try:
        with file.open("rb") as lines:
            return sum(1 for _ in lines) > _OUTDATED * (len(known) + 100)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise trouble_of(f"the receipts in {file} cannot be read", error) from error


def _append(file: Path, line: bytes) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        cut_short = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # by a power cut
        os.write(descriptor, b"\n" + line if cut_short else line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _in_thread(file: Path, work: Any, *given: object) -> None:
    try:
        await trio.to_thread.run_sync(work, *given)
    except OSError as error:
        raise trouble_of(f"the receipts in {file} cannot be written", error) from error


def _line(receipt: Receipt) -> bytes:
    values = {field.name: _plain(getattr(receipt, field.name)) for field in fields(receipt)}
    return json.dumps(values, ensure_ascii=True).encode() + b"\n"


def _plain(value: object) -> object:
    match value:
        case Swartz():
            return value.amount
        case datetime():
            return value.isoformat()
        case _:
            return value


def _receipt(values: dict[str, Any]) -> Receipt:
    moments = ("pinned_at", "starts", "ends", "released_at")
    read = {name: datetime.fromisoformat(values[name]) if values[name] else None for name in moments}
    money = {name: Swartz(int(values[name])) for name in ("received", "fee")}
    return Receipt(**{**values, **read, **money})
