"""The quotes a second time, beside the blocks: `<path>/quotes.jsonl`, one JSON object a line.

A payer with a quote pays its amount, even if the database was lost meanwhile: with this file the same quote decides
what the money buys. A line is appended before the database has it, and not synced, because anyone may ask for quotes
for free: a power cut may take the last seconds of this file, and rarely comes on the day when the database is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import trio

from pinning_worker.adapters.machine.json_lines import note_lines, plain, read_lines, read_newest
from pinning_worker.domain.content.cid import cid_from_bytes
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import Script
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import Swartz

JOURNAL = "quotes.jsonl"
_TOLD_ONLY = ("foreign",)  # informative only, never charged for, and as long as a stranger likes


class QuoteJournal:
    def __init__(self, folder: Path) -> None:
        self._file = folder / JOURNAL
        self._one_writer = trio.Lock()

    async def note(self, quotes: Sequence[Quote]) -> None:
        """Raises Trouble."""
        async with self._one_writer:
            await trio.to_thread.run_sync(note_lines, self._file, [_values(quote) for quote in quotes])


def read_quotes(folder: Path) -> Iterator[Quote]:
    """Yields the quotes in the order in which they were issued. Logs and skips unreadable lines. Raises Trouble."""
    return read_lines(folder / JOURNAL, _quote)


def newest_quote(folder: Path) -> Quote | None:
    """Quick for any length of the file, which strangers make grow. Raises Trouble."""
    return read_newest(folder / JOURNAL, _quote)


def _values(quote: Quote) -> dict[str, Any]:
    values = {field.name: plain(getattr(quote, field.name)) for field in fields(quote) if field.name not in _TOLD_ONLY}
    return values | {
        "root": quote.root.hex(),
        "payment_script": quote.payment_script.hex(),
        "sizes": [quote.sizes.metadata, quote.sizes.image],
    }


def _quote(values: dict[str, Any]) -> Quote:
    """Raises ValueError, KeyError, TypeError."""
    metadata, image = map(int, values["sizes"])
    return Quote(
        id=str(values["id"]),
        root=cid_from_bytes(bytes.fromhex(values["root"])).key,
        cid_text=str(values["cid_text"]),
        months=int(values["months"]),
        amount=Swartz(int(values["amount"])),
        tariff=int(values.get("tariff") or values["price_version"]),
        tariff_hash=str(values.get("tariff_hash", "")),
        sizes=Sizes(metadata, image, metadata + image),
        blocks=int(values["blocks"]),
        issued=datetime.fromisoformat(values["issued"]),
        expires=datetime.fromisoformat(values["expires"]),
        payment_address=str(values["payment_address"]),
        payment_script=Script(bytes.fromhex(values["payment_script"])),
        network=str(values["network"]),
    )
