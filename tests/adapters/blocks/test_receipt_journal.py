"""The receipts beside the blocks: what a power cut leaves, and what is read of it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pinning_worker.adapters.blocks.mark_file import MARK_FILE, read_mark
from pinning_worker.adapters.blocks.quote_journal import QuoteJournal, newest_quote, read_quotes
from pinning_worker.adapters.blocks.receipt_journal import JOURNAL, JournaledReceipts, read_journal
from pinning_worker.adapters.blocks.release_file import LIFE_SECONDS, ReleaseFile
from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.memory.receipts import MemoryReceipts
from pinning_worker.domain.content.cid import RAW, cid_of
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.receipt import Receipt
from pinning_worker.ports import Change, Trouble
from pinning_worker.settings import Settings, load
from pinning_worker.steps.recovering import QUOTES_AT_ONCE, take_up_receipts
from pinning_worker.wiring.stores import take_journals
from tests.contract import samples
from tests.contract.samples import quote

CID = str(cid_of(RAW, b"a receipt's"))


def receipt(cid: str = CID, txid: Txid = samples.TXID, **changes: Any) -> Receipt:
    return samples.receipt(cid, txid, **changes)


async def test_the_last_word_of_each_receipt_is_read(tmp_path: Path) -> None:
    receipts = await JournaledReceipts.open(MemoryReceipts(), tmp_path)
    first, second = receipt(), replace(receipt(), txid=Txid("b" * 64), file_name='ümlaut "quoted"\nline')
    released = replace(first, released_at=first.ends + timedelta(days=1))
    for one in (first, second, released):
        await receipts.put(one)
    assert read_journal(tmp_path) == [released, second]
    assert await receipts.get(first.key) == released


async def test_a_line_is_on_disk_before_the_books_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was promised outlives a power cut."""
    synced, fsync = list[str](), os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    receipts = await JournaledReceipts.open(MemoryReceipts(), tmp_path)
    await receipts.put(receipt())
    assert str(tmp_path / JOURNAL) in synced


async def test_half_a_line_costs_that_line_and_no_other(tmp_path: Path) -> None:
    """Catches: the line after a power cut is glued to half a line, and both are lost."""
    receipts = await JournaledReceipts.open(MemoryReceipts(), tmp_path)
    first, second = receipt(), replace(receipt(), txid=Txid("b" * 64))
    await receipts.put(first)
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(b'{"cid": "bafy')
    await receipts.put(second)
    assert read_journal(tmp_path) == [first, second]


async def test_receipts_of_a_version_without_a_journal_are_written_down(tmp_path: Path) -> None:
    known = MemoryReceipts()
    await known.put(receipt())
    await JournaledReceipts.open(known, tmp_path)
    assert read_journal(tmp_path) == [receipt()]


async def test_a_journal_that_is_mostly_outdated_is_written_anew(tmp_path: Path) -> None:
    known = MemoryReceipts()
    receipts = await JournaledReceipts.open(known, tmp_path)
    for _ in range(600):
        await receipts.put(receipt())
    await JournaledReceipts.open(known, tmp_path)
    assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == 1


async def test_a_journal_written_anew_forgets_nothing_that_the_books_do_not_know(tmp_path: Path) -> None:
    receipts = await JournaledReceipts.open(MemoryReceipts(), tmp_path)
    for _ in range(600):
        await receipts.put(receipt())
    await JournaledReceipts.open(MemoryReceipts(), tmp_path)
    assert read_journal(tmp_path) == [receipt()]


class LockedReceipts(MemoryReceipts):
    """Those of a database that cannot be written."""

    async def put(self, receipt: Receipt) -> None:
        raise Trouble(f"{receipt.key}: the database is locked")


async def test_the_journal_knows_a_receipt_before_the_database_does(tmp_path: Path) -> None:
    """Catches: the database first, and a kill between the two leaves a promise that only it knows."""
    receipts = await JournaledReceipts.open(LockedReceipts(), tmp_path)
    with pytest.raises(Trouble):
        await receipts.put(receipt())
    assert read_journal(tmp_path) == [receipt()]


async def test_a_database_that_knows_less_than_the_journal_is_noticed_at_the_start(tmp_path: Path) -> None:
    known = MemoryReceipts()
    await (await JournaledReceipts.open(known, tmp_path)).put(receipt())
    assert not (await JournaledReceipts.open(known, tmp_path)).knew_more
    assert (await JournaledReceipts.open(MemoryReceipts(), tmp_path)).knew_more


def test_no_journal_is_no_receipt(tmp_path: Path) -> None:
    assert read_journal(tmp_path) == []


def test_a_release_is_spent_once_and_a_damaged_one_releases_nothing(tmp_path: Path) -> None:
    release = ReleaseFile(tmp_path)
    assert release.bytes() == 0
    release.write(5_000)
    assert release.bytes() == 5_000
    release.spend()
    assert release.bytes() == 0
    (tmp_path / "release.json").write_text("many")
    assert release.bytes() == 0


# ---------------------------------------------------------------- whatever is wrong with a file is one kind of error

GARBAGE = ("", "half a li", "[" * 100_000, "Infinity", '{"starts": Infinity}', "[]", '"text"', "null", "9" * 5_000)


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_in_any_small_file_is_told_and_ends_nothing(tmp_path: Path, garbage: str) -> None:
    """Catches: RecursionError and OverflowError, which no list of errors names until somebody meets them."""
    (tmp_path / MARK_FILE).write_text(garbage)
    with pytest.raises(Trouble, match=r"store\.json is damaged"):
        read_mark(tmp_path)
    (tmp_path / "release.json").write_text(garbage)
    assert ReleaseFile(tmp_path).bytes() == 0
    good = '{"cid": "bafy'
    (tmp_path / JOURNAL).write_text(f"{garbage}\n{good}\n{{}}\n[1]\n")
    assert read_journal(tmp_path) == []
    (tmp_path / "quotes.jsonl").write_text(f"{garbage}\n{{}}\n")
    assert list(read_quotes(tmp_path)) == []


@pytest.mark.parametrize(
    "bad", [{"months": None}, {"cid": "no CID"}, {"fee": -1}, {"ends": "2026-01-01"}, {"size": 1.5}]
)
async def test_a_receipt_that_is_none_costs_its_line(tmp_path: Path, bad: dict[str, object]) -> None:
    receipts = await JournaledReceipts.open(MemoryReceipts(), tmp_path)
    await receipts.put(receipt(CID))
    line = json.loads((tmp_path / JOURNAL).read_text())
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write(json.dumps(line | bad | {"txid": "c" * 64}) + "\n")
    assert read_journal(tmp_path) == [receipt(CID)]


async def test_a_journal_that_lost_lines_is_filled_at_the_start(tmp_path: Path) -> None:
    known = MemoryReceipts()
    receipts = await JournaledReceipts.open(known, tmp_path)
    for letter in "abc":
        await receipts.put(receipt(CID, Txid(letter * 64)))
    (tmp_path / JOURNAL).write_text("")
    await JournaledReceipts.open(known, tmp_path)
    assert len(read_journal(tmp_path)) == 3


async def test_quotes_come_back_as_they_were_given(tmp_path: Path) -> None:
    given = [quote("q1"), quote("q2", months=1)]
    await QuoteJournal(tmp_path).note(given)
    assert list(read_quotes(tmp_path)) == [replace(each, foreign=()) for each in given]


async def test_a_line_is_as_short_whatever_a_document_names(tmp_path: Path) -> None:
    """Catches: links to elsewhere, which cost nothing to write, once more for each quote, in a file that only grows."""
    talkative = replace(quote("q1"), foreign=tuple(f"https://{number}/{'x' * 500}" for number in range(50)))
    await QuoteJournal(tmp_path).note([talkative])
    assert (tmp_path / "quotes.jsonl").stat().st_size < 1_000
    assert list(read_quotes(tmp_path)) == [replace(talkative, foreign=())]


async def test_what_the_books_know_is_not_overwritten_by_an_older_journal(tmp_path: Path) -> None:
    receipts = MemoryReceipts()
    newer = receipt(CID, months=7)
    await receipts.put(newer)
    assert await take_up_receipts(receipts, [receipt(CID, months=2)]) == 0
    assert await receipts.all() == [newer]


def test_a_release_lapses_after_a_day(tmp_path: Path) -> None:
    """Catches: it was said with the wrong books, stays armed, and lets go of everything months later."""
    release = ReleaseFile(tmp_path)
    release.write(5_000)
    old = time.time() - LIFE_SECONDS - 60
    os.utime(tmp_path / "release.json", (old, old))
    assert release.bytes() == 0


async def test_the_newest_quote_is_found_at_the_end_of_a_long_file(tmp_path: Path) -> None:
    """Catches: every start reads all that strangers were ever quoted."""
    assert newest_quote(tmp_path) is None
    await QuoteJournal(tmp_path).note([quote(f"q{number}") for number in range(4_000)])
    assert (tmp_path / "quotes.jsonl").stat().st_size > 1_048_576
    newest = newest_quote(tmp_path)
    assert newest is not None
    assert newest.id == "q3999"


@pytest.mark.parametrize("garbage", [b"half a li", b"x" * 1_100_000], ids=["half a line", "a megabyte"])
async def test_garbage_after_the_newest_quote_hides_it_not(tmp_path: Path, garbage: bytes) -> None:
    await QuoteJournal(tmp_path).note([quote("q1"), quote("q2")])
    with (tmp_path / "quotes.jsonl").open("ab") as journal:
        journal.write(garbage)
    newest = newest_quote(tmp_path)
    assert newest is not None
    assert newest.id == "q2"


class NoteworthyBooks(MemoryBooks):
    """They note how many quotes each change had, and fail after so many."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most, self.stored = most, list[int]()

    async def commit(self, change: Change) -> bool:
        if self.most is not None and sum(self.stored) >= self.most:
            raise Trouble("the database is locked")
        self.stored.append(len(change.quotes))
        return await super().commit(change)


async def test_a_long_journal_of_quotes_is_taken_up_piece_by_piece(tmp_path: Path) -> None:
    """Catches: all that strangers were ever quoted in memory at once, at the start after a crash."""
    await QuoteJournal(tmp_path).note([quote(f"q{number}") for number in range(3 * QUOTES_AT_ONCE)])
    books = NoteworthyBooks()
    assert await take_journals(settings_of(tmp_path), books, MemoryReceipts(), tmp_path) == 0
    assert (max(books.stored), sum(books.stored)) == (QUOTES_AT_ONCE, 3 * QUOTES_AT_ONCE)


async def test_who_is_killed_while_he_takes_up_the_journals_begins_again(tmp_path: Path) -> None:
    """Catches: the receipts first; at the next start nothing is missing, and their quotes were never stored."""
    await JournaledReceipts(MemoryReceipts(), tmp_path / JOURNAL).put(receipt())
    receipts = MemoryReceipts()
    with pytest.raises(Trouble):
        await take_journals(settings_of(tmp_path), NoteworthyBooks(most=0), receipts, tmp_path)
    assert (await JournaledReceipts.open(receipts, tmp_path)).knew_more


def settings_of(folder: Path) -> Settings:
    environ = {
        "PINNING_NETWORK": "doichain-regtest",
        "PINNING_DATA_DIR": str(folder),
        "PINNING_PAYMENT_ADDRESS": "mfWyW5fc9NUj75YAnFgoRLrjxgLDn2MMth",
        "PINNING_ELECTRUM_SERVERS": "ws://127.0.0.1:1",
    }
    return load(Settings, environ=environ, env_file=None)
