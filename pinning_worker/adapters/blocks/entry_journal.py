"""The operator's entries a second time, beside the blocks: `<path>/ledger.jsonl`, one JSON object a line.

An entry is no part of the chain, so a lost database must not lose it. A line is appended and synced after the database
has the entry; a start, and each command that records one, appends those that the journal lacks. So a refund that the
books refused is in neither. The first line of a number counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import trio

from pinning_worker.adapters.machine.json_lines import note_lines, plain, read_lines, whole_number
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.entry import Entry, EntryKind
from pinning_worker.domain.money.swartz import Swartz

JOURNAL = "ledger.jsonl"


async def note_missing_entries(entries: Sequence[Entry], folder: Path) -> None:
    """Appends the entries that the journal lacks. Raises Trouble."""
    noted = {entry.number for entry in await trio.to_thread.run_sync(read_entries, folder)}
    missing = [_values(entry) for entry in entries if entry.number not in noted]
    if missing:
        await trio.to_thread.run_sync(partial(note_lines, folder / JOURNAL, missing, sync=True))


def read_entries(folder: Path) -> list[Entry]:
    """By number. Logs and skips unreadable lines. Raises Trouble."""
    by_number: dict[int, Entry] = {}
    for entry in read_lines(folder / JOURNAL, _entry):
        by_number.setdefault(entry.number, entry)
    return [by_number[number] for number in sorted(by_number)]


def _values(entry: Entry) -> dict[str, Any]:
    values = {field.name: plain(getattr(entry, field.name)) for field in fields(entry)}
    return values | {"kind": entry.kind.value, "root": entry.root.hex(), "name": entry.name.hex()}


def _entry(values: dict[str, Any]) -> Entry:
    """Raises ValueError, KeyError, TypeError."""
    return Entry(
        number=whole_number(values["number"]),
        kind=EntryKind(values["kind"]),
        at=datetime.fromisoformat(values["at"]),
        txid=Txid(str(values["txid"])),
        root=Root(bytes.fromhex(values["root"])),
        cid_text=str(values["cid_text"]),
        name=NameBytes(bytes.fromhex(values["name"])),
        amount=Swartz(whole_number(values["amount"])),
        refund_txid=str(values["refund_txid"]),
        reason=str(values["reason"]),
    )
