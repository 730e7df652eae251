"""Signed receipts in SQL: what only this store can get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinning_worker.adapters.sql.database import open_database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.signed_receipts import SqlSignedReceipts
from pinning_worker.domain.money.signed_receipt import receipt_cid
from pinning_worker.ports.world import Trouble
from tests.contract.samples import block_name


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/pinning.db"
    migrate(url)
    return url


async def test_a_start_knows_the_receipts_of_before(url: str) -> None:
    async with open_database(url) as database:
        await (await SqlSignedReceipts.open(database)).put("bafy/aa", b"one")
    async with open_database(url) as database:
        signed = await SqlSignedReceipts.open(database)
        assert await signed.block(receipt_cid(b"one").multihash) == b"one"


async def test_a_block_that_is_no_receipt_costs_no_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers ask for any number of blocks that are not here; the database has four readers."""

    async def no_read(*_: object) -> None:
        raise Trouble("read")

    async with open_database(url) as database:
        signed = await SqlSignedReceipts.open(database)
        await signed.put("bafy/aa", b"one")
        monkeypatch.setattr(database, "read", no_read)
        assert await signed.block(block_name(1)) is None
        with pytest.raises(Trouble):
            await signed.block(receipt_cid(b"one").multihash)
