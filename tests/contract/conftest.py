"""Each port's implementations, one after the other: what a contract test asks for as `books`, `receipts`, `blocks`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.memory.receipts import MemoryReceipts
from pinning_worker.adapters.memory.signed_receipts import MemorySignedReceipts
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.receipts import SqlReceipts
from pinning_worker.adapters.sql.signed_receipts import SqlSignedReceipts
from pinning_worker.ports.books import Books, Receipts, SignedReceipts
from pinning_worker.ports.content import Blocks
from tests.contract.postgresql import a_server, new_database

STORES = ("memory", "sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Path]:
    """A PostgreSQL server of ours, for as long as the tests run."""
    with a_server() as socket_folder:
        yield socket_folder


@pytest.fixture(params=STORES)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database | None]:
    """A migrated database, or None for memory."""
    if request.param == "memory":
        yield None
        return
    url = f"sqlite:///{tmp_path}/pinning.db"
    if request.param == "postgresql":
        url = new_database(request.getfixturevalue("postgresql"))
    migrate(url)
    database = Database(url)
    yield database
    await database.close()


@pytest.fixture
async def books(database: Database | None) -> Books:
    return SqlBooks(database) if database else MemoryBooks()


@pytest.fixture
async def receipts(database: Database | None) -> Receipts:
    return SqlReceipts(database) if database else MemoryReceipts()


@pytest.fixture
async def signed_receipts(database: Database | None) -> SignedReceipts:
    return await SqlSignedReceipts.open(database) if database else MemorySignedReceipts()


@pytest.fixture(params=["memory", "disk"])
async def blocks(request: pytest.FixtureRequest, tmp_path: Path) -> Blocks:
    return MemoryBlocks() if request.param == "memory" else await DiskBlocks.open(tmp_path / "blocks")
