"""The mark of a block folder, `<path>/store.json`, and whether the folder has any block.

These functions block; they run before the blocks are opened, and create nothing but the mark.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from itertools import chain
from pathlib import Path

from pinning_worker.adapters.blocks.quarantine import FREED, day_folders
from pinning_worker.adapters.machine.disk_faults import trouble_of
from pinning_worker.adapters.machine.json_lines import read_object, whole_number
from pinning_worker.adapters.machine.private_file import replace
from pinning_worker.domain.store_mark import Mark
from pinning_worker.ports.world import NeedsMending

MARK_FILE = "store.json"


def read_mark(folder: Path) -> Mark | None:
    """None if there is no mark. Raises Trouble if it cannot be read, or is damaged."""
    file = folder / MARK_FILE
    try:
        data = read_object(file)
        return Mark(_id(data.get("id")), whole_number(data.get("starts"))) if data is not None else None
    except OSError as error:
        raise trouble_of(f"{file} cannot be read", error) from error
    except ValueError as error:
        raise NeedsMending(
            f"{file} is damaged ({error}): put it back from a backup, or remove it; without it the "
            "blocks are known by those that the database holds"
        ) from error


def _id(value: object) -> str:
    """Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{32}", value):
        raise ValueError("has no id")
    return value


def write_mark(folder: Path, mark: Mark) -> None:
    """Raises Trouble."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(folder / MARK_FILE, json.dumps({"id": mark.id, "starts": mark.starts}).encode() + b"\n")
    except OSError as error:
        raise trouble_of(f"{folder / MARK_FILE} cannot be written", error) from error


def has_any_block(folder: Path) -> bool:
    """Counts quarantined blocks too. Raises Trouble."""
    shelves = (folder / f"{last_byte:02x}" for last_byte in range(256))
    days = (Path(day) for _, day in day_folders(f"{folder}/{FREED}"))
    try:
        return any(_is_filled(place) for place in chain(shelves, days))
    except OSError as error:
        raise trouble_of(f"the blocks in {folder} are out of reach", error) from error


def _is_filled(folder: Path) -> bool:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return any(entry.is_file() for entry in entries)
    return False
