"""A careless operator: the database lost, an older one put back, another worker's, the disk not mounted.

Each start that would harm what is paid for is refused with 78, the reason and the way out, and touches no block. The
way out works: with the chain, the receipts and the blocks, every paid CID is kept again, until the same day as before,
though no peer has it any more.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pinning_worker.sandbox.wallet import Wallet
from tests.interop.browser import ask_for_quote, join
from tests.interop.helia import Heard, Helia, open_helia
from tests.interop.market import CONFIRMATIONS, Market, open_market
from tests.interop.node_binary import needs_node
from tests.interop.worker import Worker, command_ended, worker_environment

pytestmark = [pytest.mark.interop, needs_node]


@dataclass
class Operator:
    """His hands on the data directory of a worker that does not run."""

    market: Market
    data: Path

    @property
    def database(self) -> Path:
        return self.data / "pinning.db"

    def block_files(self) -> set[str]:
        """Of every block that is kept; none may ever go by a mistake of his."""
        places = (self.data / "blocks").glob("??/*")
        return {str(file.relative_to(self.data)) for file in places if file.is_file()}

    def copy_database(self, to: Path) -> Path:
        with sqlite3.connect(self.database) as source, sqlite3.connect(to) as target:
            source.backup(target)
        return to

    def lose_database(self) -> None:
        for part in self.data.glob("pinning.db*"):
            part.unlink()

    def put_back(self, copy: Path) -> None:
        self.lose_database()
        shutil.copy(copy, self.database)

    async def run(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """A command that ends by itself: its code and what it complained of."""
        folder = self.data.parent
        environment = worker_environment(folder, self.market.settings("worker") | settings)
        code, _, complained = await command_ended(arguments, environment, folder)
        return code, complained

    async def is_refused(self, *words: str) -> None:
        """`run` does not start, says this, and has touched nothing."""
        before = self.block_files()
        code, complained = await self.run("run")
        assert code == 78, complained
        for word in words:
            assert word in complained
        assert "Traceback" not in complained
        assert self.block_files() == before

    async def pins(self) -> dict[str, tuple[str, str]]:
        told: list[dict[str, Any]] = json.loads(await self.market.command("pins", "--json"))["pins"]
        return {pin["name"]: (pin["state"], pin["ends"]) for pin in told}


@asynccontextmanager
async def paid_for_twice(folder: Path) -> AsyncIterator[tuple[Operator, Path, dict[str, tuple[str, str]]]]:
    """A stopped worker with two paid pins that no peer has any more; a copy of its database from before the second."""
    async with open_market(folder) as market, open_helia(listen=()) as alice:
        operator = Operator(market, folder / "worker" / "data")
        await pay_for(market, alice, "art/1")
        copy = operator.copy_database(folder / "older.db")
        await pay_for(market, alice, "art/2")
        pins = await operator.pins()
        assert {state for state, _ in pins.values()} == {"pinned"}
        yield operator, copy, pins


async def pay_for(market: Market, alice: Helia, name: str) -> None:
    async with market.worker() as worker:
        await join(alice, worker)
        cid = (await alice.add_file(700_000, seed=name)).cid
        market.pay(await ask_for_quote(alice, cid, worker), name)
        await market.mine(CONFIRMATIONS)
        await alice.heard(says_pinned(cid))
        await alice.forget()
        await worker.stop()


def says_pinned(cid: str) -> Callable[[Heard], bool]:
    return lambda message: message.says("CID-PINNED-WITH-NAME", cid)


async def all_kept_again(operator: Operator, pins: dict[str, tuple[str, str]], files: set[str]) -> None:
    """The worker alone, with no peer to fetch from: every pin as before, every block in its place."""
    async with operator.market.worker() as worker:
        for name in pins:
            await worker.logged(rf'{name}.*"pin.kept"')
        assert await operator.pins() == pins
        assert operator.block_files() == files
        await no_sweep(worker)


async def no_sweep(worker: Worker) -> None:
    await worker.stop()
    assert not [line for line in worker.log if "blocks.swept" in line or "blocks.held" in line]


async def test_a_lost_database_is_made_anew_from_the_chain_the_receipts_and_the_blocks(tmp_path: Path) -> None:
    async with paid_for_twice(tmp_path) as (operator, _, pins):
        files = operator.block_files()
        operator.lose_database()
        assert (await operator.run("migrate"))[0] == 0
        await operator.is_refused("knows of no block", "PINNING_DATABASE_URL", "pinning-worker recover")
        assert (await operator.run("recover"))[0] == 0
        await all_kept_again(operator, pins, files)


async def test_an_older_backup_put_back_is_brought_up_to_date(tmp_path: Path) -> None:
    async with paid_for_twice(tmp_path) as (operator, copy, pins):
        files = operator.block_files()
        operator.put_back(copy)
        await operator.is_refused("is older than the blocks", "pinning-worker recover")
        assert (await operator.run("recover"))[0] == 0
        async with operator.market.worker() as worker:
            await worker.logged('art/2.*"pin.kept"')
            assert await operator.pins() == pins
            assert operator.block_files() == files


async def test_without_receipts_the_chain_and_the_blocks_are_enough_to_keep_what_was_paid(tmp_path: Path) -> None:
    async with paid_for_twice(tmp_path) as (operator, _, pins):
        files = operator.block_files()
        operator.lose_database()
        (operator.data / "blocks" / "receipts.jsonl").unlink()
        assert (await operator.run("migrate"))[0] == 0
        assert (await operator.run("recover"))[0] == 0
        await all_kept_again(operator, pins, files)


async def test_another_workers_database_and_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    async with paid_for_twice(tmp_path) as (operator, _, pins):
        newest = operator.copy_database(tmp_path / "newest.db")
        with sqlite3.connect(operator.database) as database:
            database.execute("UPDATE store_mark SET id = ?", ("f" * 32,))
        await operator.is_refused("is not that of the blocks", "PINNING_DATABASE_URL", "PINNING_DATA_DIR")

        operator.put_back(newest)
        blocks = operator.data / "blocks"
        blocks.rename(tmp_path / "not mounted")
        await operator.is_refused("Is the disk mounted?", "recover --blocks-are-lost")
        assert not blocks.exists(), "a block folder made beside the mount point would hide the next mistake"
        (tmp_path / "not mounted").rename(blocks)
        files = operator.block_files()
        async with operator.market.worker():
            assert await operator.pins() == pins
            assert operator.block_files() == files


async def test_blocks_that_are_lost_are_owed_and_fetched_again_from_who_asked(tmp_path: Path) -> None:
    async with paid_for_twice(tmp_path) as (operator, _, pins):
        shutil.rmtree(operator.data / "blocks")
        code, complained = await operator.run("recover")
        assert code == 78, complained
        assert "mounted" in complained
        assert (await operator.run("recover", "--blocks-are-lost"))[0] == 0
        async with operator.market.worker() as worker, open_helia(listen=()) as alice:
            await worker.logged(r"check\.store_compared")
            assert {state for state, _ in (await operator.pins()).values()} == {"owed"}
            await join(alice, worker)
            for name in pins:
                cid = (await alice.add_file(700_000, seed=name)).cid
                await alice.publish(f"NEW-CID:{cid}")
                await alice.heard(says_pinned(cid))
            assert await operator.pins() == pins


async def test_a_copy_of_the_same_run_put_back_knows_what_was_promised_since(tmp_path: Path) -> None:
    """Catches: a run of months, last night's copy put back, and today's payer is told that the payment came short."""
    async with open_market(tmp_path) as market, open_helia(listen=()) as alice:
        operator = Operator(market, tmp_path / "worker" / "data")
        async with market.worker() as worker:
            await join(alice, worker)
            cid = (await alice.add_file(700_000, seed="art")).cid
            market.pay(await ask_for_quote(alice, cid, worker), "art/1")
            await market.mine(CONFIRMATIONS)
            await alice.heard(says_pinned(cid))
            copy = operator.copy_database(tmp_path / "older.db")
            one_month = await ask_for_a_month(alice, cid, worker)
            market.pay(one_month, "art/2")
            await worker.stop()
        operator.put_back(copy)
        async with market.worker() as worker:
            await worker.logged(r"books\.behind")
            await market.mine(CONFIRMATIONS)
            await worker.logged('art/2.*"pin.kept"')


async def ask_for_a_month(alice: Helia, cid: str, worker: Worker) -> dict[str, Any]:
    await alice.publish(json.dumps({"type": "NEW-CID", "cid": cid, "durationMonths": 1}))

    def fits(message: Heard) -> bool:
        said = message.says("ADDING-CID", cid) and message.sender == worker.peer_id
        return said and message.json["fee"]["durationMonths"] == 1

    quote: dict[str, Any] = (await alice.heard(fits)).json
    return quote


async def test_recovered_with_an_address_too_few_nothing_is_swept(tmp_path: Path) -> None:
    """With the quotes, which name the address that was quoted, even that would do."""
    async with paid_for_twice(tmp_path) as (operator, _, pins):
        files = operator.block_files()
        operator.lose_database()
        (operator.data / "blocks" / "quotes.jsonl").unlink()
        assert (await operator.run("migrate"))[0] == 0
        wrong = Wallet(operator.market.sandbox.node, seed=b"another operator").address()
        assert (await operator.run("recover", PINNING_PAYMENT_ADDRESS=wrong))[0] == 0
        async with operator.market.worker(PINNING_PAYMENT_ADDRESS=wrong) as worker:
            assert "PINNING_PAYMENT_ADDRESS" in await worker.logged(r"blocks\.held")
            assert operator.block_files() == files
            await worker.stop()
        async with operator.market.worker() as worker:
            for name in pins:
                await worker.logged(f'{name}.*"pin.kept"')
            assert await operator.pins() == pins
