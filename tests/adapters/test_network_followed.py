"""Which rules a worker follows, by its checkpoint, its books and the headers that it has stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.electrum.header_file import HeaderFile, snapshot
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.name_index import SqlNameIndex
from pinning_worker.domain.chain.anchor import start_chain
from pinning_worker.domain.chain.headerchain import HeaderChain
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Anchor, BadCheckpoint, Network
from pinning_worker.settings import Settings, load
from pinning_worker.wiring.chain import network_followed
from tests.adapters.test_settings import REGTEST, REGTEST_ADDRESS
from tests.mining import LATER, REGTEST_GENESIS, mine_many


def chain_of(blocks: int) -> HeaderChain:
    chain = start_chain(DOICHAIN_REGTEST, REGTEST_GENESIS.raw)
    branch = chain.branch(0)
    branch.extend(b"".join(header.raw for header in mine_many(REGTEST_GENESIS, blocks)), now=LATER)
    chain.adopt(branch)
    return chain


CHAIN = chain_of(120)
CHECKPOINT = 100
AT_CHECKPOINT = Anchor(CHECKPOINT, CHAIN.hash_at(CHECKPOINT) or "")


def settings(folder: Path, **changes: str) -> Settings:
    environ = REGTEST | {
        "PINNING_DATA_DIR": str(folder),
        "PINNING_CHECKPOINT": f"{CHECKPOINT}:{AT_CHECKPOINT.block_hash}",
    }
    return load(Settings, environ=environ | changes, env_file=None)


@asynccontextmanager
async def books_that_go_on_at(height: int | None, chosen: Settings) -> AsyncIterator[tuple[SqlBooks, SqlNameIndex]]:
    """The name index goes on there: that is up to where this worker has seen the chain."""
    await trio.to_thread.run_sync(migrate, chosen.database_url)
    database = Database(chosen.database_url)
    index = SqlNameIndex(database)
    if height is not None:
        await index.resume_from(height)
    try:
        yield SqlBooks(database), index
    finally:
        await database.close()


async def followed(folder: Path, height: int | None, **changes: str) -> Network:
    chosen = settings(folder, **changes)
    async with books_that_go_on_at(height, chosen) as (books, index):
        return await network_followed(chosen, books, index)


@pytest.mark.parametrize("height", [None, CHECKPOINT - 9, CHECKPOINT, 5_000])
async def test_a_new_chain_starts_at_the_checkpoint(height: int | None, tmp_path: Path) -> None:
    """Also where the books go on a little below it: the headers before the checkpoint are had with it."""
    assert (await followed(tmp_path, height)).anchor == AT_CHECKPOINT


async def test_books_of_older_blocks_let_it_start_lower(tmp_path: Path) -> None:
    """Catches: what was paid between the books' end and the checkpoint, and is never read."""
    network = await followed(tmp_path, CHECKPOINT - 50)
    assert network.anchor == DOICHAIN_REGTEST.anchor
    assert network.checkpoint is not None


async def test_stored_headers_that_reach_down_to_them_are_used_on(tmp_path: Path) -> None:
    """Catches: a good chain of headers that is thrown away, and had again from its beginning."""
    network = DOICHAIN_REGTEST
    HeaderFile(tmp_path, network).save(snapshot(CHAIN, 0))
    followed_network = await followed(tmp_path, CHECKPOINT - 50)
    assert followed_network.anchor == AT_CHECKPOINT
    stored = HeaderFile(tmp_path, followed_network).load()
    assert stored is not None
    assert (stored.base_height, stored.floor) == (0, CHECKPOINT)


async def test_where_nothing_is_built_in_a_checkpoint_above_the_books_is_refused(tmp_path: Path) -> None:
    changes = {
        "PINNING_NETWORK": "doichain-test",
        "PINNING_PAYMENT_ADDRESS": REGTEST_ADDRESS,
        "PINNING_CHECKPOINT": f"310000:{'ab' * 32}",
    }
    with pytest.raises(
        BadCheckpoint, match=r"PINNING_CHECKPOINT is at 310000, and this worker knows .* from block 305000"
    ):
        await followed(tmp_path, 305_000, **changes)
