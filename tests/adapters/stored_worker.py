"""A worker's data without a worker: a database that keeps blocks, the blocks, and a key, as real files.

`keep(folder, …)` puts them into `folder/data`; the commands of tests/adapters/test_cli.py look there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import trio
from sqlalchemy import Connection

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.machine.datadir import prepare_data_dir
from pinning_worker.adapters.p2p.host.identity import new_key, save_key
from pinning_worker.adapters.sql import block_rows
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.domain.content.cid import RAW, Root, cid_of
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.wiring.pairing import Store
from tests.adapters.test_cli import command
from tests.content import noise

ROOT = cid_of(RAW, b"root").key
PAID_DAY = date(2026, 11, 20)


def pictures(numbers: Iterable[int], size: int = 10_000) -> dict[Multihash, bytes]:
    """Blocks, each of its number."""
    made = (noise(size, number) for number in numbers)
    return {cid_of(RAW, block).multihash: block for block in made}


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder}/data/pinning.db"


async def keep(folder: Path, blocks: dict[Multihash, bytes], root: Root = ROOT, url: str | None = None) -> None:
    """One start of a worker that keeps these blocks for a root, besides what it kept before."""
    url = url or database_url(folder)
    if not (folder / "data").exists():
        prepare_data_dir(folder / "data", "doichain-regtest")
        await trio.to_thread.run_sync(migrate, url)
        save_key(new_key(), folder / "data" / "identity.key")
    database = Database(url)
    try:
        await Store(database, url, folder / "data" / "blocks").open_together()
        shelf = await DiskBlocks.open(folder / "data" / "blocks")
        for multihash, block in blocks.items():
            await shelf.put(multihash, block)
        await database.write(lambda connection: _hold(connection, root, blocks))
    finally:
        await database.close()


async def free(folder: Path, blocks: dict[Multihash, bytes], *, was_paid: bool) -> None:
    shelf = await DiskBlocks.open(folder / "data" / "blocks")
    await shelf.free(list(blocks), PAID_DAY, was_paid=was_paid)


async def ended(folder: Path, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """A command in `folder`, ended, while this loop turns on."""
    return await trio.to_thread.run_sync(lambda: command(folder, *arguments, **changed))


def _hold(connection: Connection, root: Root, blocks: dict[Multihash, bytes]) -> None:
    block_rows.hold(connection, root, list(blocks))
