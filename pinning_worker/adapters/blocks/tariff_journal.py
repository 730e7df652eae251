"""The tariffs a second time, beside the blocks: `<path>/tariffs.jsonl`, one JSON object a line.

With the chain and the closures' bytes they decide what every payment buys, so a lost database must not lose them. A
line is appended and synced before the database has it. The last line of a number counts: it may be struck.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import trio

from pinning_worker.adapters.machine.json_lines import note_lines, plain, read_lines
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import Tariff

JOURNAL = "tariffs.jsonl"


class TariffJournal:
    def __init__(self, folder: Path) -> None:
        self._file = folder / JOURNAL

    async def note(self, tariff: Tariff) -> None:
        """Raises Trouble."""
        await trio.to_thread.run_sync(partial(note_lines, self._file, [_values(tariff)], sync=True))


def read_tariffs(folder: Path) -> list[Tariff]:
    """By number. Logs and skips unreadable lines. Raises Trouble."""
    by_number = {tariff.number: tariff for tariff in read_lines(folder / JOURNAL, _tariff)}
    return [by_number[number] for number in sorted(by_number)]


def _values(tariff: Tariff) -> dict[str, Any]:
    values = {field.name: plain(getattr(tariff, field.name)) for field in fields(tariff) if field.name != "notice"}
    return values | {"notice_days": tariff.notice.days}


def _tariff(values: dict[str, Any]) -> Tariff:
    """Raises ValueError, KeyError, TypeError."""
    return Tariff(
        number=int(values["number"]),
        since=datetime.fromisoformat(values["since"]),
        per_mib_month=Swartz(int(values["per_mib_month"])),
        least=Swartz(int(values["least"])),
        measure=int(values["measure"]),
        notice=timedelta(days=int(values["notice_days"])),
        struck=bool(values["struck"]),
        is_derived=bool(values["is_derived"]),
    )
