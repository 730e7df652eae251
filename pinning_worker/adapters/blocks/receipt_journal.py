"""The receipts a second time, beside their blocks: `<path>/receipts.jsonl`, one JSON object a line.

A database can be lost while the blocks are not. The payment is in the chain; the promise for it (months, at which
price) is only in the books. This journal and that of the quotes allow the same promise again.

Rules: a line is appended and synced before the database has it, so the journal is never behind. The last line of a key
counts. A start adds the receipts that a journal lacks (of an earlier version, or damaged), and writes the journal anew
if most of it is outdated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import trio

from pinning_worker.adapters.machine.disk_faults import trouble_of
from pinning_worker.adapters.machine.json_lines import append_lines, line_of, plain, read_lines, whole_number
from pinning_worker.adapters.machine.private_file import replace
from pinning_worker.domain.content.cid import parse_cid
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.receipt import Receipt
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.ports.books import Receipts

JOURNAL = "receipts.jsonl"
_OUTDATED = 4  # lines for each receipt, above which the journal is written anew


class JournaledReceipts:
    """Port Receipts: reads from `receipts`, and writes each receipt to the journal too. Raises Trouble.

    `knew_more` says that at the start the journal had a receipt that `receipts` lacked.
    """

    def __init__(self, receipts: Receipts, file: Path) -> None:
        """Use `open`."""
        self._receipts, self._file = receipts, file
        self.knew_more = False
        self._one_writer = trio.Lock()

    @classmethod
    async def open(cls, receipts: Receipts, folder: Path) -> Self:
        opened = cls(receipts, folder / JOURNAL)
        noted = {receipt.key: receipt for receipt in await trio.to_thread.run_sync(read_journal, folder)}
        known = {receipt.key: receipt for receipt in await receipts.all()}
        opened.knew_more = not noted.keys() <= known.keys()
        lines = await trio.to_thread.run_sync(_count_lines, opened._file)
        if lines > _OUTDATED * (len(noted) + 100):
            await opened._in_thread(partial(write_journal, opened._file, (noted | known).values()))
        elif missing := [receipt for key, receipt in known.items() if key not in noted]:
            await opened._in_thread(partial(append_lines, opened._file, map(_values, missing), sync=True))
        return opened

    async def put(self, receipt: Receipt) -> None:
        async with self._one_writer:
            await self._in_thread(partial(append_lines, self._file, [_values(receipt)], sync=True))
        await self._receipts.put(receipt)

    async def get(self, key: str) -> Receipt | None:
        return await self._receipts.get(key)

    async def all(self) -> Sequence[Receipt]:
        return await self._receipts.all()

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            await trio.to_thread.run_sync(work)
        except OSError as error:
            raise trouble_of(f"the receipts in {self._file} cannot be written", error) from error


def read_journal(folder: Path) -> list[Receipt]:
    """The last receipt of each key. Logs and skips unreadable lines. Raises Trouble."""
    return list({receipt.key: receipt for receipt in read_lines(folder / JOURNAL, _receipt)}.values())


def write_journal(file: Path, receipts: Iterable[Receipt]) -> None:
    """Raises OSError."""
    replace(file, b"".join(line_of(_values(receipt)) for receipt in receipts))


def _count_lines(file: Path) -> int:
    try:
        with file.open("rb") as lines:
            return sum(1 for _ in lines)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise trouble_of(f"the receipts in {file} cannot be read", error) from error


def _values(receipt: Receipt) -> dict[str, Any]:
    return {field.name: plain(getattr(receipt, field.name)) for field in fields(receipt)}


def _receipt(values: dict[str, Any]) -> Receipt:
    """Raises ValueError, KeyError, TypeError."""
    released = values["released_at"]
    parse_cid(values["cid"])
    return Receipt(
        cid=str(values["cid"]),
        name_id=str(values["name_id"]),
        txid=Txid(str(values["txid"])),
        file_name=str(values["file_name"]),
        size=whole_number(values["size"]),
        blocks=whole_number(values["blocks"]),
        received=Swartz(whole_number(values["received"])),
        fee=Swartz(whole_number(values["fee"])),
        months=whole_number(values["months"]),
        quote_id=str(values["quote_id"]),
        pinned_at=_moment(values["pinned_at"]),
        starts=_moment(values["starts"]),
        ends=_moment(values["ends"]),
        released_at=_moment(released) if released is not None else None,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} names no time zone")
    return moment
