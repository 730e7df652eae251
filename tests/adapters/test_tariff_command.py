"""`pinning-worker tariff`: the log of prices, changed beside a running worker, and never backwards."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from pinning_worker.adapters.blocks.tariff_journal import TariffJournal, read_tariffs
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import open_database
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import Tariff
from pinning_worker.ports.books import Change
from tests.adapters.stored_worker import database_url, ended, keep, pictures
from tests.adapters.test_cli import command, piped, printed, settings, told
from tests.contract import samples
from tests.interop.worker import free_port, open_worker

pytestmark = pytest.mark.slow  # it starts the command, again and again

MONTH_AGO = datetime.now(UTC).replace(microsecond=0) - timedelta(days=30)
FIRST = Tariff(1, MONTH_AGO, Swartz(742_000), Swartz(1_000_000))
DEARER = ("tariff", "set", "--price", "800000", "--least", "1200000")


def in_books(folder: Path, work: Callable[[SqlBooks], Awaitable[object]]) -> None:
    async def run() -> None:
        async with open_database(database_url(folder)) as database:
            await work(SqlBooks(database))

    trio.run(run)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A worker's data, whose first tariff has stood for a month."""
    trio.run(keep, tmp_path, pictures(range(1)))
    in_books(tmp_path, lambda books: books.add_tariff(FIRST))
    return tmp_path


def shown(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(printed(command(folder, "tariff", "show", "--json")))["tariffs"]
    return found


def test_a_new_tariff_is_quoted_from_now_on_and_the_old_one_honoured_for_its_notice(store: Path) -> None:
    ended = command(store, *DEARER, "--yes", "--json")
    answer = json.loads(printed(ended))
    assert "a picture      1 MiB, 8 months  now        5936000  then        6400000 swartz" in ended.stderr
    old, new = shown(store)
    since = datetime.fromisoformat(new["since"])
    assert (answer["changed"], answer["number"], answer["hash"]) == (True, 2, new["hash"])
    assert timedelta(0) <= datetime.now(UTC) - since < timedelta(minutes=1)  # never backdated
    assert (old["quoted"], datetime.fromisoformat(old["honouredUntil"]) - since) == (False, timedelta(days=31))
    assert (new["quoted"], new["honouredUntil"], new["perMibMonth"], new["least"]) == (True, None, 800_000, 1_200_000)
    assert "800000 swartz/MiB/month" in printed(command(store, "tariff", "show"))
    assert [each.number for each in read_tariffs(store / "data" / "blocks")] == [2]  # beside the blocks as well


def test_the_same_prices_again_change_nothing(store: Path) -> None:
    again = command(store, "tariff", "set", "--price", "742000", "--least", "1000000", "--json")
    assert json.loads(printed(again)) == {
        "changed": False,
        "number": 1,
        "since": FIRST.since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "hash": FIRST.hash,
    }
    assert len(shown(store)) == 1


@pytest.mark.parametrize("answer", [b"n\n", b""], ids=["no", "no terminal"])
def test_nothing_is_changed_without_a_yes(store: Path, answer: bytes) -> None:
    assert told(piped(answer, store, *DEARER), 65).endswith("nothing was changed: answer y, or say --yes")
    assert len(shown(store)) == 1


def test_a_yes_may_be_typed(store: Path) -> None:
    assert printed(piped(b"y\n", store, *DEARER)).startswith("tariff 2 is quoted from ")


def test_what_no_node_relays_is_refused_as_a_least_fee(store: Path) -> None:
    assert "at least 546" in told(command(store, "tariff", "set", "--price", "1", "--least", "545", "--yes"), 2)
    assert len(shown(store)) == 1


def test_a_tariff_is_struck_while_no_quote_has_named_it(store: Path) -> None:
    printed(command(store, *DEARER, "--yes"))
    assert json.loads(printed(command(store, "tariff", "strike", "2", "--yes", "--json"))) == {
        "struck": 2,
        "quoted": 1,
    }
    first, struck = shown(store)
    assert (first["quoted"], first["honouredUntil"], struck["struck"]) == (True, None, True)
    assert [each.struck for each in read_tariffs(store / "data" / "blocks")] == [True]
    assert "struck already" in told(command(store, "tariff", "strike", "2", "--yes"), 65)


def test_a_tariff_that_a_quote_names_or_another_follows_stays(store: Path) -> None:
    """Catches: a payer who was quoted a price that is no longer honoured."""
    assert "the first tariff stays" in told(command(store, "tariff", "strike", "1", "--yes"), 65)
    assert "no tariff 2" in told(command(store, "tariff", "strike", "2", "--yes"), 65)
    printed(command(store, *DEARER, "--yes"))
    assert "others followed it" in told(command(store, "tariff", "strike", "1", "--yes"), 65)
    in_books(store, lambda books: books.commit(Change(quotes=(samples.quote("named", tariff=2),))))
    assert "a quote has named tariff 2" in told(command(store, "tariff", "strike", "2", "--yes"), 65)
    assert [each["struck"] for each in shown(store)] == [False, False]


def test_before_the_first_start_there_is_no_tariff_to_follow(tmp_path: Path) -> None:
    """A derived tariff is no beginning: the journal beside the blocks has it only once the worker has started."""
    trio.run(keep, tmp_path, pictures(range(1)))
    assert "no tariff yet" in command(tmp_path, "tariff", "show").stderr
    assert "the first start of the worker" in told(command(tmp_path, *DEARER, "--yes"), 65)
    in_books(tmp_path, lambda books: books.add_tariff(replace(FIRST, is_derived=True)))
    assert "the first start of the worker" in told(command(tmp_path, *DEARER, "--yes"), 65)


def test_a_database_of_other_blocks_is_not_changed(store: Path) -> None:
    trio.run(keep, store / "other", pictures(range(5, 7)))
    in_books(store / "other", lambda books: books.add_tariff(FIRST))
    other = database_url(store / "other")
    assert "is not that of the blocks" in told(command(store, *DEARER, "--yes", PINNING_DATABASE_URL=other), 78)
    assert len(shown(store / "other")) == 1


async def test_prices_change_beside_a_running_worker_and_check_config_names_the_difference(tmp_path: Path) -> None:
    async with open_worker(tmp_path, settings(free_port())) as running:
        same = json.loads(printed(await ended(tmp_path, "check-config", "--json")))["advice"]
        assert not [sentence for sentence in same if "tariff" in sentence]
        assert "tariff 2 is quoted" in printed(await ended(tmp_path, *DEARER, "--yes"))
        (differs,) = [
            sentence
            for sentence in json.loads(printed(await ended(tmp_path, "check-config", "--json")))["advice"]
            if "tariff 2" in sentence
        ]
        assert "name 742000 swartz" in differs
        assert "quotes 800000 and 1200000" in differs
        assert await running.stop() == 0
    journal = await trio.to_thread.run_sync(read_tariffs, tmp_path / "data" / "blocks")
    assert [each.number for each in journal] == [1, 2]


def test_a_tariff_that_the_database_lost_keeps_its_number(store: Path) -> None:
    """Catches: a second tariff 2 in the journal after a power cut or a copied database; a quote may name the first."""
    lost = replace(FIRST, number=2, since=MONTH_AGO + timedelta(days=29))
    trio.run(TariffJournal(store / "data" / "blocks").note, FIRST)
    trio.run(TariffJournal(store / "data" / "blocks").note, lost)
    assert "knows more than the database" in told(command(store, *DEARER, "--yes"), 65)
    assert read_tariffs(store / "data" / "blocks") == [FIRST, lost]


def test_check_config_compares_prices_by_the_clock_of_a_sandbox(store: Path) -> None:
    """Catches: a traceback of `check-config` in every folder of a sandbox, whose clock reads a file."""
    offset = store / "clock-offset"
    offset.write_text("3600")
    checked = command(store, "check-config", "--json", PINNING_CLOCK_OFFSET_FILE=str(offset))
    assert json.loads(printed(checked))["ok"]
