"""`names`: the progress with its bars, and a search, from a store that a worker may be writing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.sql.database import open_database
from pinning_worker.adapters.sql.name_index import SqlNameIndex
from pinning_worker.commands.names import Progress
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.name_row import NameRow
from pinning_worker.ports.names import IndexedBlock
from tests.adapters.test_cli import command, printed, told

ROW = NameRow(Txid("aa" * 32), 60, 1_795_176_000, 1, 0, Swartz(1_000_000), NameBytes(b"art/1"), b"ipfs://bafyart", "N1")


async def indexed(folder: Path) -> None:
    """Blocks 51 to 60 of 60, two of them with names."""
    async with open_database(f"sqlite:///{folder}/data/pinning.db") as database:
        index = SqlNameIndex(database)
        await index.resume_from(60)
        await index.add(60, "hash 60", [ROW, replace(ROW, position=2, name=NameBytes(b"e\x1b[2J\x07/\xff"), value=b"")])
        below = [IndexedBlock(height, f"hash {height}", ()) for height in range(59, 51, -1)]
        below.append(IndexedBlock(51, "hash 51", (replace(ROW, height=51, value=b"older art/"),)))
        assert await index.add_below(60, "hash 60", below)


@pytest.mark.slow
async def test_the_progress_and_a_search(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        return printed(command(tmp_path, "names", *arguments))

    await trio.to_thread.run_sync(lambda: printed(command(tmp_path, "migrate")))
    assert "no block is indexed yet" in await trio.to_thread.run_sync(run)
    await indexed(tmp_path)

    def ask_all() -> None:
        assert run().splitlines() == [
            "doichain-regtest: names of blocks 51 to 60, newest first",
            "all     [######----------------------------------]  16 %  10 of 60 blocks",
            "living  [############----------------------------]  32 %  10 of 31 blocks",
            "21 blocks may hold living names",
        ]
        assert json.loads(run("--json")) == {
            "network": "doichain-regtest",
            "reachesBackTo": 51,
            "reachesUpTo": 60,
            "blocks": 10,
            "blocksLeft": 50,
            "livingBlocksLeft": 21,
            "complete": False,
        }
        assert run("art/").splitlines() == [
            "     60  2026-11-20 12:00:00  art/1  ipfs://bafyart  N1",
            "     51  2026-11-20 12:00:00  art/1  older art/  N1",
        ]
        assert [row["height"] for row in json.loads(run("bafyart", "--json"))] == [60]
        assert len(run("art/", "--limit", "1").splitlines()) == 1
        assert "\x1b" not in run("[2J"), "a stranger's name moves no cursor"
        assert r"e\x1b[2J\x07/\xff" in run("\udcff"), "bytes that are no UTF-8 are found, and shown, as such"
        assert "contains 'nowhere'" in told(command(tmp_path, "names", "nowhere"), 3)

    await trio.to_thread.run_sync(ask_all)


@pytest.mark.slow
def test_without_tables_it_says_to_migrate(tmp_path: Path) -> None:
    assert "run `pinning-worker migrate`" in told(command(tmp_path, "names"), 69)


@pytest.mark.parametrize(
    ("lowest", "highest", "bars"),
    [
        (1, 60_000, ["100 %  60000 of 60000 blocks", "100 %  36001 of 36001 blocks", "every name that can still be"]),
        (24_000, 60_000, [" 60 %  36001 of 60000 blocks", "100 %  36001 of 36001 blocks", "every name that can still"]),
        (24_001, 60_000, [" 60 %  36000 of 60000 blocks", " 99 %  36000 of 36001 blocks", "1 blocks may hold living"]),
        (60_000, 60_000, ["  0 %  1 of 60000 blocks", "  0 %  1 of 36001 blocks", "36000 blocks may hold living"]),
        (0, 0, ["  0 %  0 of 1 blocks", "  0 %  0 of 1 blocks", "every name"]),
    ],
)
def test_the_bars_from_the_first_block_to_the_last(lowest: int, highest: int, bars: list[str]) -> None:
    lines = Progress("doichain", lowest, highest, 36_000).lines()[1:]
    assert all(bar in line for bar, line in zip(bars, lines, strict=True)), lines
    assert {len(line.partition("[")[2].partition("]")[0]) for line in lines[:2]} == {40}


def test_of_a_new_worker_nothing_is_said_to_be_complete() -> None:
    fields = Progress("doichain", None, 0, 36_000).fields()
    assert (fields["complete"], fields["reachesBackTo"], fields["blocks"]) == (False, None, 0)
