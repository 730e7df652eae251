"""The database's revision: migrated from nothing, kept on upgrade, refused when unknown."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pinning_worker.adapters.sql import book_tables, migrate, name_tables
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database, engine_of
from pinning_worker.adapters.sql.name_index import SqlNameIndex, _root
from pinning_worker.adapters.sql.schema import metadata
from pinning_worker.domain.content.cid import RAW, Root, cid_of
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.account import Due
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import MIB, Rate
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow
from pinning_worker.ports.books import Change
from pinning_worker.ports.world import NeedsMending
from tests.contract.samples import HOUR, NOW, ROOT, TXID, block_name, payment, pin, quote, request

assert {book_tables.pins.metadata, name_tables.name_ops.metadata} == {metadata}

SHOWN, HIDDEN = cid_of(RAW, b"with images"), cid_of(RAW, b"without")
SECOND_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "0008"

def upgrade() -> None:
    with op.batch_alter_table("payments", recreate="always") as payments:
        payments.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "pinning.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def revise(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


async def fill(url: str) -> None:
    database = Database(url)
    change = Change((request(),), (pin(),), (quote(),), (payment(),), hold=((ROOT, (block_name(1),)),))
    assert await SqlBooks(database).commit(change)
    await database.close()


async def everything(url: str) -> tuple[object, ...]:
    database = Database(url)
    books = SqlBooks(database)
    rows = (await books.request(ROOT), await books.all_pins(), await books.all_payments(), await books.quotes(ROOT))
    held = await books.held(ROOT)
    await database.close()
    return (*rows, held)


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(url: str) -> None:
    """Catches: a table or column changed without a revision."""
    migrate.migrate(url)
    with engine_of(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_checks_that_autogenerate_does_not_compare_are_there_too(url: str, path: Path) -> None:
    """Catches: a check or a layout written only in the tables, or only in the migration."""
    migrate.migrate(url)
    made = engine_of(f"{url}.made")
    metadata.create_all(made)
    made.dispose()
    assert declared(path) == declared(Path(f"{path}.made"))


def declared(path: Path) -> dict[str, set[str]]:
    """What each table's SQL says, clause by clause in any order (a column that was added stands at the end)."""
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE name != 'alembic_version' AND sql NOT NULL")
    between_clauses = re.compile(r"\s*(?:,(?![^(]*\))|\n|\)$)\s*")
    unquoted = [(name, sql.replace('"', "")) for name, sql in tables]
    found = {name: {clause for clause in between_clauses.split(sql) if clause} for name, sql in unquoted}
    connection.close()
    return found


async def test_migrating_again_keeps_every_row(url: str) -> None:
    migrate.migrate(url)
    await fill(url)
    before = await everything(url)
    assert migrate.migrate(url) == migrate.revision_of(url)
    assert await everything(url) == before


async def test_a_later_revision_that_copies_a_table_keeps_its_rows_and_their_children(
    url: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: outputs that go with the old table when SQLite's batch mode drops it."""
    migrate.migrate(url)
    await fill(url)
    before = await everything(url)
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate._scripts(), scripts)
    (scripts / "versions/9999_note.py").write_text(SECOND_REVISION)
    monkeypatch.setattr(migrate, "_scripts", lambda: scripts)

    with pytest.raises(migrate.UnusableDatabase, match="at revision 0008, not 9999: run `pinning-worker migrate`"):
        migrate.require_current(url)
    assert migrate.migrate(url) == "9999"
    assert await everything(url) == before
    revise(path, f"UPDATE payments SET note = 'kept' WHERE txid = '{TXID}'")


def migrate_up_to(revision: str, url: str, scratch: Path) -> None:
    """As a program of that day would have."""
    scripts = scratch / f"until-{revision}"
    shutil.copytree(migrate._scripts(), scripts)
    for script in (scripts / "versions").glob("*.py"):
        if script.name[:4] > revision:
            script.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "_scripts", lambda: scripts)
        assert migrate.migrate(url) == revision


_RENAMED = {"price_version": "tariff"}
_DROPPED = {"bought_quote", "bought_amount", "bought_months"}


def copy_rows(source: Path, target: Path) -> None:
    """Into tables that have fewer columns."""
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("ATTACH ? AS source", (str(source),))
        names = [name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for table in [name for name in names if name != "alembic_version"]:
            columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
            kept = [_RENAMED.get(column, column) for column in columns if column not in _DROPPED]
            into = ", ".join(column for column in columns if column not in _DROPPED)
            connection.execute(f"INSERT INTO main.{table} ({into}) SELECT {', '.join(kept)} FROM source.{table}")
        connection.commit()


async def test_books_of_the_first_revision_keep_every_row_and_wait_for_nobody(
    url: str, path: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.db"
    migrate.migrate(f"sqlite:///{new}")
    await fill(f"sqlite:///{new}")
    revise(new, "UPDATE requests SET staged_for = '[]'")
    revise(new, "UPDATE quotes SET tariff = 1, tariff_hash = ''")
    revise(new, "UPDATE payments SET proof_position = NULL")
    migrate_up_to("0001", url, tmp_path)
    copy_rows(new, path)
    assert migrate.migrate(url) == "0008"
    assert await everything(url) == await everything(f"sqlite:///{new}")


async def test_the_quotes_of_an_earlier_revision_become_tariffs_under_which_each_is_kept(
    url: str, path: Path, tmp_path: Path
) -> None:
    """Catches: a payer of an old quote who gets fewer months after an update of the worker."""
    new = tmp_path / "new.db"
    migrate.migrate(f"sqlite:///{new}")
    database = Database(f"sqlite:///{new}")
    sizes, small = Sizes(0, 5 * MIB, 5 * MIB), Sizes(7, 0, 7)
    rows = [  # price version 9 was the first: (id, version, months, swartz, sizes)
        ("dear", 9, 8, 400 * 5 * 8, sizes),
        ("floor", 9, 8, 1_000, small),
        ("cheap", 3, 1, 30 * 5, sizes),
        ("floor too", 3, 8, 90, small),
    ]
    quotes = tuple(
        quote(id, tariff=version, months=months, amount=Swartz(amount), sizes=each, issued=NOW + number * HOUR)
        for number, (id, version, months, amount, each) in enumerate(rows)
    )
    assert await SqlBooks(database).commit(Change(quotes=quotes))
    await database.close()
    migrate_up_to("0004", url, tmp_path)
    copy_rows(new, path)
    migrate.migrate(url)
    database = Database(url)
    books = SqlBooks(database)
    log, found = await books.tariffs(), {quote.id: quote for quote in await books.quotes(ROOT)}
    await database.close()
    assert [(each.number, each.per_mib_month.amount, each.least.amount, each.is_derived) for each in log] == [
        (1, 400, 1_000, True),
        (2, 30, 90, True),
    ]
    assert [found[id].tariff for id, *_ in rows] == [1, 1, 2, 2]
    for kept in found.values():
        rate = Rate(log[kept.tariff - 1].per_mib_month.amount * kept.sizes.total, log[kept.tariff - 1].least)
        assert Due().more(rate, kept.months).amount <= kept.amount


async def test_names_of_an_earlier_revision_are_selected_as_if_they_were_added_now(
    url: str, path: Path, tmp_path: Path
) -> None:
    """Catches: a filter that the migration spells otherwise than `NameRow.matches`."""
    migrate_up_to("0002", url, tmp_path)
    names = [b"", b"e", b"e/1", b"e0", b"pe/1", b"poe/1", b"bp/1", b"nft/1", b"art/1", b"\xff"]
    values = [b"", b" ", b"empty", b"ipfs:/", b"ipfs://none", b"ipfs:0", f"ipfs://{SHOWN}".encode(), b"x"]
    values.append(f"ipfs://{HIDDEN}".encode())
    rows = [
        NameRow(Txid("aa" * 32), 10, 1_000, at, 0, Swartz(1), NameBytes(name), value)
        for at, (name, value) in enumerate(product(names, values))
    ]
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO name_ops VALUES (?, ?, ?, 0, ?, 1, ?, ?, '', ?)",
            [(row.height, row.position, row.txid, row.blocktime, row.name, row.value, _root(row)) for row in rows],
        )
        known = [(SHOWN.key, True), (HIDDEN.key, False)]
        connection.executemany("INSERT INTO name_metadata VALUES (?, ?)", known)
        connection.commit()
    migrate.migrate(url)
    database = Database(url)
    for wanted in NameFilter:
        found = await SqlNameIndex(database).find(wanted, None, 0, 1_000)
        expected = [row for row in reversed(rows) if row.matches(wanted, dict(known).get(_root(row) or Root(b"")))]
        assert list(found) == expected, wanted
    await database.close()


async def test_a_migration_that_fails_halfway_changes_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: DDL outside the transaction, which leaves a database of no revision at all."""
    migrate.migrate(url)
    await fill(url)
    before = await everything(url)
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate._scripts(), scripts)
    orphans = '    op.drop_table("pins")\n    op.execute("DELETE FROM payments")\n'
    (scripts / "versions/9999_note.py").write_text(SECOND_REVISION + orphans)
    monkeypatch.setattr(migrate, "_scripts", lambda: scripts)
    with pytest.raises(migrate.UnusableDatabase, match="rows without their parents"):
        migrate.migrate(url)
    assert migrate.revision_of(url) == "0008"
    assert await everything(url) == before


def test_a_database_that_was_never_migrated_is_refused_and_not_made(url: str, path: Path) -> None:
    with pytest.raises(migrate.UnusableDatabase, match="no tables yet: run `pinning-worker migrate`"):
        migrate.require_current(url)
    assert migrate.revision_of(url) is None
    assert not path.exists()


def test_a_database_of_a_newer_program_is_refused(url: str, path: Path) -> None:
    migrate.migrate(url)
    migrate.require_current(url)
    revise(path, "UPDATE alembic_version SET version_num = 'f00'")
    for refuse in (migrate.require_current, migrate.migrate):
        with pytest.raises(NeedsMending, match="revision f00, which this version does not know: a newer"):
            refuse(url)
    assert migrate.revision_of(url) == "f00"


def test_a_file_that_is_no_database_is_refused_and_left_alone(url: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"a letter to my aunt " * 100)
    for refuse in (migrate.require_current, migrate.migrate):
        with pytest.raises(NeedsMending, match="file is not a database"):
            refuse(url)
    assert path.read_bytes() == b"a letter to my aunt " * 100


def test_a_password_is_never_shown() -> None:
    with pytest.raises(migrate.UnusableDatabase, match="refused") as told:
        migrate.require_current("postgresql://worker:tell-nobody@127.0.0.1:1/books")
    assert "tell-nobody" not in str(told.value)
