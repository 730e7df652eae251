"""The receipts beside the blocks: what a power cut leaves, and what is read of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pinning_worker.adapters.blocks.receipt_journal import JOURNAL, JournaledReceipts, read_journal
from pinning_worker.adapters.blocks.release_file import ReleaseFile
from pinning_worker.adapters.memory.receipts import MemoryReceipts
from tests.contract.samples import receipt


async def test_the_last_word_of_each_receipt_is_read(tmp_path: Path) -> None:
    receipts = await JournaledReceipts.open(MemoryReceipts(), tmp_path)
    first, second = receipt(), replace(receipt(), txid="b" * 64, file_name='ümlaut "quoted"\nline')
    released = replace(first, released_at=first.ends + timedelta(days=1))
    for one in (first, second, released):
        await receipts.put(one)
    assert read_journal(tmp_path) == [released, second]
    assert await receipts.get(first.key) == released


async def test_half_a_line_costs_that_line_and_no_other(tmp_path: Path) -> None:
    """Catches: the line after a power cut is glued to half a line, and both are lost."""
    receipts = await JournaledReceipts.open(MemoryReceipts(), tmp_path)
    first, second = receipt(), replace(receipt(), txid="b" * 64)
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
