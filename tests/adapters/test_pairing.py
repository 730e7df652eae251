"""Real books beside real blocks: opened together, or refused where paid blocks would be taken for orphans."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pinning_worker.adapters.blocks import mark_file
from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.blocks.mark_file import MARK_FILE, read_mark
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.store_mark import read_mark as books_mark
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.multihash import Multihash, sha2_256
from pinning_worker.domain.store_mark import Mark, Mismatch
from pinning_worker.ports import Change, Trouble
from pinning_worker.wiring.pairing import NotItsBlocks, Store
from tests.contract.samples import ROOT, request

DATA = b"a block that was paid for"
NAME = sha2_256(DATA)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    url = f"sqlite:///{tmp_path}/pinning.db"
    migrate(url)
    database = Database(url)
    yield Store(database, url, tmp_path / "blocks")
    await database.close()


async def keep_a_block(store: Store) -> None:
    blocks = await DiskBlocks.open(store.blocks)
    await blocks.put(NAME, DATA)
    assert await SqlBooks(store.database).commit(Change((request(),), hold=((ROOT, (NAME,)),)))


async def is_refused(store: Store, kind: Mismatch) -> None:
    with pytest.raises(NotItsBlocks) as refused:
        await store.open_together()
    assert refused.value.kind is kind
    assert str(store.blocks) in str(refused.value)
    assert "pinning.db" in str(refused.value)


async def test_each_start_is_counted_on_both_sides(store: Store) -> None:
    for starts in (1, 2, 3):
        await store.open_together()
        mark = read_mark(store.blocks)
        assert mark is not None
        assert mark.starts == starts
        assert await books_mark(store.database) == mark


async def test_a_store_of_a_version_without_marks_is_taken_as_it_is(store: Store) -> None:
    await keep_a_block(store)
    await store.open_together()
    assert read_mark(store.blocks) is not None


async def test_a_new_database_beside_blocks_is_refused_and_changes_no_mark(store: Store, tmp_path: Path) -> None:
    await store.open_together()
    await keep_a_block(store)
    before = read_mark(store.blocks)
    url = f"sqlite:///{tmp_path}/new.db"
    migrate(url)
    new = Database(url)
    with pytest.raises(NotItsBlocks) as refused:
        await Store(new, url, store.blocks).open_together()
    assert refused.value.kind is Mismatch.NEW
    assert (read_mark(store.blocks), await books_mark(new)) == (before, None)
    await new.close()


async def test_blocks_in_quarantine_are_blocks(store: Store, tmp_path: Path) -> None:
    """Catches: all that was paid for was freed by a mistake, and the next start takes the folder for an empty one."""
    await store.open_together()
    blocks = await DiskBlocks.open(store.blocks)
    await blocks.put(NAME, DATA)
    await blocks.free((NAME,), date(2026, 11, 29), was_paid=True)
    url = f"sqlite:///{tmp_path}/new.db"
    migrate(url)
    new = Database(url)
    with pytest.raises(NotItsBlocks):
        await Store(new, url, store.blocks).open_together()
    await new.close()


async def test_a_folder_that_is_gone_is_refused_and_not_made(store: Store) -> None:
    await store.open_together()
    await keep_a_block(store)
    shutil.rmtree(store.blocks)
    await is_refused(store, Mismatch.LOST)
    assert not store.blocks.exists()


async def test_a_folder_that_lost_its_blocks_but_not_its_mark_is_opened_for_each_block_is_checked(store: Store) -> None:
    """A power cut may take every block that nobody paid for: that keeps no worker from starting."""
    await store.open_together()
    await keep_a_block(store)
    for file in store.blocks.glob("??/*"):
        file.unlink()
    await store.open_together()


async def test_a_damaged_mark_is_trouble_that_names_the_file(store: Store) -> None:
    await store.open_together()
    (store.blocks / MARK_FILE).write_text("half a li")
    with pytest.raises(Trouble, match=r"store\.json is damaged"):
        await store.open_together()


async def test_books_know_blocks_without_a_mark_by_any_of_their_roots(store: Store) -> None:
    """Catches: the first root, a large one, is all that is looked for, and it was lost."""
    books, many = SqlBooks(store.database), tuple(Multihash(b"\x12\x20" + bytes(31) + bytes([n])) for n in range(250))
    large = replace(request(), root=Root(ROOT[:-1] + b"\x00"))
    assert await books.commit(
        Change((large,), hold=((large.root, (*many, *(Multihash(name + b"more") for name in many))),))
    )
    await keep_a_block(store)
    await store.open_together()


async def test_who_is_killed_between_the_two_marks_leaves_books_that_are_ahead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: the blocks first, and after a kill between the two the right books are refused as older."""
    await store.open_together()
    await keep_a_block(store)

    def killed(_folder: Path, _mark: Mark) -> None:
        raise Trouble("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(mark_file, "write_mark", killed)
        with pytest.raises(Trouble, match="killed here"):
            await store.open_together()
    await store.open_together()
    assert read_mark(store.blocks) == await books_mark(store.database) == Mark(id_of(store), 3)


async def test_a_worker_that_starts_while_a_backup_counts_is_not_set_back(store: Store) -> None:
    """Catches: the backup writes its older count over that of the start, and the pair no longer fits."""
    await store.open_together()
    await keep_a_block(store)
    mark_file.write_mark(store.blocks, Mark(id_of(store), 9))
    await store.count_backup()
    assert read_mark(store.blocks) == Mark(id_of(store), 9)


def id_of(store: Store) -> str:
    mark = read_mark(store.blocks)
    assert mark is not None
    return mark.id
