"""`pinning-worker ledger`: where every swartz is, and how each payment was judged; the operator's entries."""

from __future__ import annotations

import csv
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import delete

from pinning_worker.adapters.blocks.entry_journal import note_missing_entries, read_entries
from pinning_worker.adapters.sql.book_tables import ledger_entries
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import open_database
from pinning_worker.domain.content.cid import RAW, Root, cid_of
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.entry import Entry, EntryKind
from pinning_worker.domain.money.payment import PaidOutput, Payment, Proof
from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import MIB, Tariff
from pinning_worker.domain.pin import Pin, State
from pinning_worker.ports.books import Change
from tests.adapters.stored_worker import database_url, keep, pictures
from tests.adapters.test_cli import command, printed, settings, told
from tests.contract import samples
from tests.interop.worker import free_port, open_worker

pytestmark = pytest.mark.slow  # it starts the command, again and again

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
PAID_AT = NOW - 61 * DAY
CID, LOST = cid_of(RAW, b"art"), cid_of(RAW, b"lost")
BOUGHT, TOPPED_UP, OWED, STRAY, COMING = (Txid(f"{number}" * 64) for number in range(1, 6))
KINDS = ("earned", "unearned", "credit", "owed", "refunded", "closed")


def paid(txid: Txid, root: Root, name: bytes, amount: int, height: int | None) -> Payment:
    return Payment(
        txid=txid,
        root=root,
        cid_text=str(CID) if root == CID.key else str(LOST) if root else "",
        name=NameBytes(name),
        outputs=(PaidOutput(1, Swartz(amount)),),
        first_seen=PAID_AT,
        proof=None if height is None else Proof(height, f"{height:064x}", PAID_AT + height * timedelta(minutes=10)),
        settled=height is not None and bool(root),
    )


def books_of(folder: Path, work: Callable[[SqlBooks], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with open_database(database_url(folder)) as database:
            return await work(SqlBooks(database))

    return trio.run(run)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A hundred a month: a pin of eight months with a rest, one whose content was never had, a stray payment, and one
    on its way."""
    trio.run(keep, tmp_path, pictures(range(1)))
    quote = samples.quote("q", CID.key, tariff=1, sizes=Sizes(MIB, 0, MIB), payment_script=b"\x51")
    starts = PAID_AT
    change = Change(
        pins=(
            Pin(
                CID.key, NameBytes(b"=art/1"), str(CID), State.PINNED, NOW + 99 * DAY, starts=starts,
                ends=add_months(starts, 8),
            ),
            Pin(LOST.key, NameBytes(b"lost"), str(LOST), State.OWED, NOW + DAY, reason="paid, but never quoted"),
        ),
        quotes=(quote,),
        payments=(
            paid(BOUGHT, CID.key, b"=art/1", 800, 0),
            paid(TOPPED_UP, CID.key, b"=art/1", 30, 1),
            paid(OWED, LOST.key, b"lost", 500, 2),
            paid(STRAY, Root(b""), b"art/9", 7, 3),
            paid(COMING, CID.key, b"=art/1", 99, None),
        ),
    )  # fmt: skip

    async def fill(books: SqlBooks) -> None:
        assert await books.add_tariff(Tariff(1, PAID_AT - DAY, Swartz(100), Swartz(100)))
        assert await books.commit(change)

    books_of(tmp_path, fill)
    return tmp_path


def asked(folder: Path, *arguments: str) -> Any:
    return json.loads(printed(command(folder, *arguments, "--json")))


# ---------------------------------------------------------------- reading


def test_the_summary_says_where_every_swartz_is(store: Path) -> None:
    found = asked(store, "ledger")
    assert found["pins"] == asked(store, "ledger", "summary")["pins"]
    amounts, term = found["total"], (add_months(PAID_AT, 8) - PAID_AT).total_seconds()
    passed = (datetime.fromisoformat(found["at"]) - PAID_AT).total_seconds() / term
    assert (amounts["received"], amounts["credit"], amounts["owed"]) == (1337, 30, 507)
    assert abs(amounts["earned"] - 800 * passed) < 1.1
    assert sum(amounts[kind] for kind in KINDS) == amounts["received"]
    assert (found["addsUp"], found["leastFees"], found["onTheirWay"]) == (True, 0, {"payments": 1, "amount": 99})
    assert (found["pins"], found["owedWithoutPin"]) == ({"owed": 1, "pinned": 1}, 1)
    due = found["liabilities"]
    assert (due["terms"], due["disk"][0]["bytes"]) == (1, MIB)
    assert abs(due["byteMonths"] - 8 * MIB * (1 - passed)) < 10


def test_the_morning_fits_on_one_screen(store: Path) -> None:
    lines = printed(command(store, "ledger")).splitlines()
    assert "  received                 1337  0.00001337 DOI" in lines
    assert "  check: received and earned + unearned + credit + owed + refunded + closed agree" in lines
    assert "pins: 1 owed, 1 pinned; 1 payments without a pin" in lines
    assert len(lines) < 24
    assert max(map(len, lines)) < 200


def test_every_grouping_has_the_same_sums(store: Path) -> None:
    found = asked(store, "ledger")
    for group, rows in found["by"].items():
        for kind, amount in found["total"].items():
            assert sum(row[kind] for row in rows) == amount, (group, kind)
    periods = {row["period"]: row for row in found["by"]["period"]}
    assert periods[PAID_AT.strftime("%Y-%m")]["received"] >= 830
    assert periods[max(periods)]["unearned"] > 0  # of months to come
    assert [row["tariff"] for row in found["by"]["tariff"]] == ["", "1"]
    assert "period" in printed(command(store, "ledger", "--by", "period"))


def test_csv_is_read_by_a_spreadsheet_and_runs_nothing_there(store: Path) -> None:
    """Catches: a name that a stranger chose, taken for a formula."""
    rows = list(csv.DictReader(printed(command(store, "ledger", "--csv")).splitlines()))
    assert [(row["name"], row["state"], row["received"]) for row in rows] == [
        ("'=art/1", "pinned", "830"),
        ("art/9", "", "7"),
        ("lost", "owed", "500"),
    ]
    payments = list(csv.DictReader(printed(command(store, "ledger", "payments", "--csv")).splitlines()))
    assert [row["txid"] for row in payments] == [BOUGHT, TOPPED_UP, OWED, STRAY, COMING]


UGLY = b'=1+1,"x"\n\x1b[31m;=2+2\xff'
UGLY_SHOWN = r"""=1+1,"x"\x0a\x1b[31m;=2+2\xff"""


@pytest.fixture
def ugly(store: Path) -> Path:
    """A stranger chose the name of one more owed pin."""
    pin = Pin(LOST.key, NameBytes(UGLY), str(LOST), State.OWED, NOW + DAY, reason="\x1b[2J")
    payment = paid(Txid("66" * 32), LOST.key, UGLY, 600, 4)
    books_of(store, lambda books: books.commit(Change(pins=(pin,), payments=(payment,))))
    return store


def test_a_name_cannot_break_csv_for_any_reader(ugly: Path) -> None:
    """Catches: a formula after a semicolon, which begins a new cell where the comma is the decimal sign; a line end."""
    for arguments in (("ledger", "--csv"), ("ledger", "payments", "--csv")):
        lines = printed(command(ugly, *arguments)).splitlines()
        (row,) = [row for row in csv.DictReader(lines) if row["cid"] == str(LOST) and row["name"] != "lost"]
        assert row["name"] == r"""'=1+1,"x"\x0a\x1b[31m;'=2+2\xff"""
        cells = [cell.lstrip('"') for line in lines for cell in line.split(";")]
        assert not [cell for cell in cells if cell.startswith("=")]


@pytest.mark.parametrize(
    "arguments",
    [("pins",), ("ledger", "payments"), ("ledger", "--by", "name"), ("ledger", "show", "66" * 32)],
    ids=" ".join,
)
def test_a_strangers_name_breaks_no_line_and_moves_no_cursor(ugly: Path, arguments: tuple[str, ...]) -> None:
    shown = printed(command(ugly, *arguments))
    assert UGLY_SHOWN in shown
    assert "\x1b" not in shown


def test_a_pin_is_closed_under_the_name_that_was_printed(ugly: Path) -> None:
    assert entries_of(ugly, "close", str(LOST), UGLY_SHOWN, "--reason", "gone") == [(1, "closed", 600, "", "gone")]


def test_bytes_that_are_no_utf8_are_a_name_as_any_other(ugly: Path) -> None:
    """Catches: a traceback for an argument of a terminal in another encoding."""
    close = ("ledger", "close", str(LOST))
    assert "no pin of that CID and name" in told(command(ugly, *close, "\udcff", "--reason", "x"), 3)
    asked(ugly, *close, "lost", "--reason", "M\udce4rz")
    assert r"M\xe4rz" in printed(command(ugly, "ledger", "show", OWED))


def test_what_is_typed_wrong_is_refused_and_nothing_recorded(store: Path) -> None:
    """Catches: the payment pasted twice, an empty reason kept for good."""
    assert "is the payment itself" in told(command(store, "ledger", "refund", OWED, OWED, "--reason", "x"), 2)
    assert "must not be empty" in told(command(store, "ledger", "refund", OWED, BACK, "--reason", " "), 2)
    assert "must not be empty" in told(command(store, "ledger", "close", str(LOST), "lost", "--reason", ""), 2)
    assert "is not a txid" in told(command(store, "ledger", "show", OWED[:60]), 2)
    assert journal(store) == []


def test_payments_are_listed_with_what_they_bought(store: Path) -> None:
    found = asked(store, "ledger", "payments")["payments"]
    assert [(one["months"], one["spent"], one["state"]) for one in found] == [
        (8, 800, "counts"),
        (0, 0, "counts"),
        (0, 0, "counts"),
        (0, 0, "counts"),
        (0, 0, "on its way"),
    ]
    assert "8 months until" in printed(command(store, "ledger", "payments"))


def test_a_payment_is_shown_as_it_was_judged(store: Path) -> None:
    found = asked(store, "ledger", "show", TOPPED_UP)
    assert (found["months"], found["creditAfter"], found["bytes"]) == (0, 30, MIB)
    assert [each["number"] for each in found["honoured"]] == [1]
    assert found["rate"] == {"swartzBytesPerMonth": 100 * MIB, "least": 100}
    assert asked(store, "ledger", "show", BOUGHT)["creditAfter"] == 0
    lines = printed(command(store, "ledger", "show", BOUGHT)).splitlines()
    assert lines[1].startswith(f"block      0 {0:064x}, ")
    assert "honoured   tariff 1: 100 swartz a MiB and month, least fee 100" in lines
    assert any(line.startswith("bought     8 months for 800 swartz, ") for line in lines)
    assert "never measured" in printed(command(store, "ledger", "show", OWED))
    assert "never measured" not in printed(command(store, "ledger", "show", COMING)), "it is on its way, no more"
    assert "the books have no payment" in told(command(store, "ledger", "show", "ee" * 32), 3)


def test_empty_books_add_up(tmp_path: Path) -> None:
    trio.run(keep, tmp_path, pictures(range(1)))
    found = asked(tmp_path, "ledger")
    assert (found["addsUp"], set(found["total"].values())) == (True, {0})
    assert printed(command(tmp_path, "ledger", "payments", "--csv")) == ""
    assert printed(command(tmp_path, "ledger"))


# ---------------------------------------------------------------- entries


BACK = "77" * 32
ENTRY_KEYS = ("number", "kind", "amount", "refundTxid", "reason")


def entries_of(folder: Path, *arguments: str) -> list[tuple[Any, ...]]:
    return [tuple(one[key] for key in ENTRY_KEYS) for one in asked(folder, "ledger", *arguments)["entries"]]


def journal(folder: Path) -> list[int]:
    return [entry.number for entry in read_entries(folder / "data" / "blocks")]


def test_a_refund_is_recorded_in_the_books_and_beside_the_blocks(store: Path) -> None:
    arguments = ("refund", OWED, BACK, "--reason", "never had it")
    assert entries_of(store, *arguments) == [(1, "refunded", 500, BACK, "never had it")]
    found = asked(store, "ledger")
    assert (found["total"]["owed"], found["total"]["refunded"], found["addsUp"]) == (7, 500, True)
    assert found["pins"] == {"pinned": 1, "released": 1}  # closed: nothing of it is left
    assert journal(store) == [1]
    shown = printed(command(store, "ledger", "show", OWED))
    assert f"entry 1    refunded 500 swartz by {BACK}, " in shown
    assert "entry 1 has this refund already" in told(command(store, "ledger", *arguments), 65)


def test_only_what_bought_nothing_can_be_refunded_of_a_term_that_runs(store: Path) -> None:
    assert "0 of the 800 swartz can be refunded" in told(
        command(store, "ledger", "refund", BOUGHT, BACK, "--reason", "x"), 65
    )
    assert "does not count" in told(command(store, "ledger", "refund", COMING, BACK, "--reason", "x"), 65)
    assert "the books have no payment" in told(command(store, "ledger", "refund", "ee" * 32, BACK, "--reason", "x"), 3)
    assert "is not a txid" in told(command(store, "ledger", "refund", "77", BACK, "--reason", "x"), 2)
    assert "--reason" in told(command(store, "ledger", "refund", OWED, BACK), 2)
    assert journal(store) == []
    refunded = entries_of(store, "refund", TOPPED_UP, BACK, "--amount", "20", "--reason", "her rest")
    assert refunded == [(1, "refunded", 20, BACK, "her rest")]
    assert asked(store, "ledger")["total"]["credit"] == 10


def test_a_stray_payment_is_assigned_to_whom_it_was_meant_for(store: Path) -> None:
    assert entries_of(store, "assign", STRAY, str(CID), "=art/1") == [(1, "assigned", 0, "", "")]
    (stray,) = [one for one in asked(store, "ledger", "payments")["payments"] if one["txid"] == STRAY]
    assert (stray["cid"], stray["name"], stray["state"]) == (str(CID), "=art/1", "on its way")  # to be judged
    assert "a payment is assigned once" in told(command(store, "ledger", "assign", STRAY, str(CID), "x"), 65)
    assert "is not a CID" in told(command(store, "ledger", "assign", STRAY, "x", "x"), 2)
    assert "assigned, " in printed(command(store, "ledger", "show", STRAY))


def test_a_name_is_written_as_pins_prints_it(store: Path) -> None:
    printed(command(store, "ledger", "assign", STRAY, str(CID), r"art/\xff"))
    payment: Payment = books_of(store, lambda books: books.payment(STRAY))
    assert payment.name == b"art/\xff"
    assert (asked(store, "ledger", "show", STRAY))["name"] == r"art/\xff"


def test_a_debt_is_closed_with_its_reason(store: Path) -> None:
    arguments = ("close", str(LOST), "lost", "--reason", "nobody knows him")
    assert entries_of(store, *arguments) == [(1, "closed", 500, "", "nobody knows him")]
    assert asked(store, "ledger")["total"]["closed"] == 500
    assert "the pin is released" in told(command(store, "ledger", *arguments), 65)
    assert "the pin is pinned" in told(command(store, "ledger", "close", str(CID), "=art/1", "--reason", "x"), 65)
    assert "no pin" in told(command(store, "ledger", "close", str(CID), "nobody", "--reason", "x"), 3)


def test_nothing_is_recorded_in_books_that_are_behind_their_journal(store: Path) -> None:
    """Catches: two entries of one number, after an older database was put back."""
    printed(command(store, "ledger", "close", str(LOST), "lost", "--reason", "x"))

    async def run() -> None:
        async with open_database(database_url(store)) as database:
            await database.write(lambda connection: connection.execute(delete(ledger_entries)))

    trio.run(run)
    text = told(command(store, "ledger", "refund", STRAY, BACK, "--reason", "x"), 65)
    assert "ledger.jsonl knows more than the database: restart the worker" in text


async def test_a_start_takes_entries_from_the_journal_and_notes_those_it_lacks(tmp_path: Path) -> None:
    entries = [
        Entry(number, EntryKind.CLOSED, NOW, STRAY, CID.key, str(CID), NameBytes(b"\xff"), Swartz(number), "", "ü")
        for number in (1, 2, 3)
    ]
    await keep(tmp_path, pictures(range(1)))
    blocks = tmp_path / "data" / "blocks"
    await note_missing_entries(entries, blocks)
    await note_missing_entries(entries, blocks)
    assert await trio.to_thread.run_sync(read_entries, blocks) == entries
    async with open_worker(tmp_path, settings(free_port())) as running:
        assert await running.stop() == 0
    async with open_database(database_url(tmp_path)) as database:
        assert list(await SqlBooks(database).entries()) == entries
    (blocks / "ledger.jsonl").unlink()
    async with open_worker(tmp_path, settings(free_port())) as running:
        assert await running.stop() == 0
    assert await trio.to_thread.run_sync(read_entries, blocks) == entries


def test_a_stray_payment_that_was_refunded_is_no_longer_listed_as_unassigned(store: Path) -> None:
    assert [one["txid"] for one in asked(store, "pins")["unassigned"]] == [STRAY]
    printed(command(store, "ledger", "refund", STRAY, BACK, "--reason", "sent by mistake"))
    assert asked(store, "pins")["unassigned"] == []
