"""`pinning-worker blocks` and `blocks release`: what they say will happen is what a worker does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.sql.database import open_database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.receipts import SqlReceipts
from tests.adapters.stored_worker import database_url, keep, pictures
from tests.adapters.test_cli import command, printed, told
from tests.contract import samples

pytestmark = pytest.mark.slow  # it starts the command, again and again

ORPHANS = pictures(range(100, 103))
NOW = datetime.now(UTC)


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    """It keeps twelve blocks, and has three that nothing explains."""
    trio.run(keep, tmp_path, pictures(range(12)))
    trio.run(put, tmp_path)
    return tmp_path


async def put(folder: Path) -> None:
    shelf = await DiskBlocks.open(folder / "data" / "blocks")
    for multihash, block in ORPHANS.items():
        await shelf.put(multihash, block)


async def promise(folder: Path) -> None:
    """A receipt whose term runs, and whose pin the books do not know."""
    async with open_database(database_url(folder)) as database:
        await SqlReceipts(database).put(samples.receipt(starts=NOW, ends=NOW + timedelta(days=100)))


def release_file(folder: Path) -> Path:
    return folder / "data" / "blocks" / "release.json"


def test_a_few_orphans_are_freed_by_themselves_and_can_be_released(worker: Path) -> None:
    assert "3 blocks that nothing holds (freed by the next sweep)" in printed(command(worker, "blocks"))
    assert "3 blocks" in told(command(worker, "blocks", "release"), 65)
    assert not release_file(worker).exists()
    printed(command(worker, "blocks", "release", "--yes"))
    assert json.loads(release_file(worker).read_text()) == {"bytes": sum(map(len, ORPHANS.values()))}


def test_what_a_receipt_holds_back_is_said_to_be_held_and_cannot_be_released(worker: Path) -> None:
    """Catches: "freed by the next sweep", and "are released": no worker ever does it."""
    trio.run(promise, worker)
    shown = printed(command(worker, "blocks"))
    assert "held back: 1 receipts promise what no payment was found for" in shown
    assert "PINNING_PAYMENT_ADDRESS" in told(command(worker, "blocks", "release", "--yes"), 65)
    assert not release_file(worker).exists()


def test_beside_a_database_that_is_not_theirs_no_block_is_released(worker: Path) -> None:
    """Catches: a slip in PINNING_DATABASE_URL lets the right worker free as much as it has."""
    other = f"sqlite:///{worker}/other.db"
    migrate(other)
    assert "knows of no block" in told(command(worker, "blocks", "release", "--yes", PINNING_DATABASE_URL=other), 78)
    assert not release_file(worker).exists()


def test_the_settings_file_that_is_named_before_release_counts_for_it(worker: Path) -> None:
    """Catches: it was named for `blocks`, and `release` let go at the worker of this folder."""
    (worker / "other.env").write_text(f"PINNING_BROKEN={worker}\n")
    said = told(command(worker, "blocks", "--env-file", "other.env", "release", "--yes"), 78)
    assert "PINNING_BROKEN" in said
    assert not release_file(worker).exists()


def test_standard_output_is_json_alone_while_the_sandbox_has_moved_the_clock(worker: Path) -> None:
    """Catches: the log line clock.moved_by_sandbox before the JSON."""
    (worker / "offset").write_text("3600")
    moved = {"PINNING_NETWORK": "doichain-regtest", "PINNING_CLOCK_OFFSET_FILE": str(worker / "offset")}
    assert "heldBack" in json.loads(printed(command(worker, "blocks", "--json", **moved)))
