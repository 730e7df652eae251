"""`names`: how far the index of names reaches, and a search in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.store import ask_index
from pinning_worker.commands.strangers_text import printable, typed_bytes
from pinning_worker.commands.telling import ExitCode, Told, say_json

if TYPE_CHECKING:
    from pinning_worker.adapters.sql.name_index import SqlNameIndex
    from pinning_worker.domain.topic.name_row import NameRow

BAR_WIDTH = 40


@click.command()
@click.argument("text", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many names.")
@env_file_option
@json_option
def names(text: str | None, limit: int, env_file: Path | None, as_json: bool) -> None:
    """Show how much of the chain the index of names holds, or search it for TEXT.

    Reads the store; the worker may run meanwhile. The index grows with each block, and downwards to the first block
    when the worker has nothing else to do: newest first, so that names that can still be alive come first. A search
    finds TEXT anywhere in a name or its value (a CID, say), newest first, every operation of a name by itself. Ends
    with 3 when there is none.

    \b
    Examples:
      pinning-worker names
      pinning-worker names art/
      pinning-worker names bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi --json | jq '.[].nameId'
    """
    settings = store_settings(env_file)
    if text is not None:
        _search(ask_index(settings, lambda index: index.search(typed_bytes(text), limit)), text, as_json=as_json)
        return
    progress = ask_index(settings, lambda index: _progress(index, settings.network))
    if as_json:
        say_json(progress.fields())
        return
    for line in progress.lines():
        click.echo(line)


@dataclass(frozen=True, slots=True)
class Progress:
    """The blocks that are indexed: from `lowest` to `highest`. None: none is yet."""

    network: str
    lowest: int | None
    highest: int
    name_life: int

    @property
    def first(self) -> int:
        from pinning_worker.domain.chain.ancestors import FIRST_BLOCK

        return FIRST_BLOCK

    @property
    def first_living(self) -> int:
        """The lowest block with a name that can still be alive."""
        return max(self.first, self.highest - self.name_life)

    def fields(self) -> dict[str, Any]:
        there = self.lowest is not None
        return {
            "network": self.network,
            "reachesBackTo": self.lowest,
            "reachesUpTo": self.highest if there else None,
            "blocks": self._indexed_from(self.first),
            "blocksLeft": self._left_from(self.first),
            "livingBlocksLeft": self._left_from(self.first_living),
            "complete": there and self._left_from(self.first) == 0,
        }

    def lines(self) -> list[str]:
        if self.lowest is None:
            return ["no block is indexed yet: the first one is, once the worker has followed the chain to its tip"]
        living = self._left_from(self.first_living)
        return [
            f"{self.network}: names of blocks {self.lowest} to {self.highest}, newest first",
            self._bar("all", self.first),
            self._bar("living", self.first_living),
            "every name that can still be alive is there" if living == 0 else f"{living} blocks may hold living names",
        ]

    def _bar(self, what: str, first: int) -> str:
        indexed, total = self._indexed_from(first), max(1, self.highest - first + 1)
        filled = BAR_WIDTH * indexed // total
        return f"{what:<7} [{'#' * filled:-<{BAR_WIDTH}}] {100 * indexed // total:3} %  {indexed} of {total} blocks"

    def _indexed_from(self, first: int) -> int:
        return 0 if self.lowest is None else max(0, self.highest - max(self.lowest, first) + 1)

    def _left_from(self, first: int) -> int | None:
        return None if self.lowest is None else max(0, self.lowest - first)


async def _progress(index: SqlNameIndex, network: str) -> Progress:
    from pinning_worker.domain.chain.networks import NETWORKS

    lowest, following = await index.lowest(), await index.next_height()
    life = NETWORKS[network].name_life
    if lowest is None or following is None:
        return Progress(network, None, 0, life)
    return Progress(network, lowest[0], following - 1, life)


def _search(found: Sequence[NameRow], text: str, *, as_json: bool) -> None:
    if not found:
        raise Told(f"no name and no value that is indexed contains {text!r}", ExitCode.NOT_FOUND)
    rows = [json.loads(row.to_json()) for row in found]
    if as_json:
        say_json(rows)
        return
    for row in rows:
        click.echo(_line(row))


def _line(row: dict[str, Any]) -> str:
    shown = printable(f"{row['nameId']}  {row['nameValue']}")
    return f"{row['height']:>7}  {row['formattedBlocktime']}  {shown}  {row['address'] or '-'}"
