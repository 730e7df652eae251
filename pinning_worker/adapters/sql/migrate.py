"""Brings the database to this program's revision, or refuses it and says what to do.

A database that has yet to be made, migrated or started is UnusableDatabase; one that somebody has to mend first
(damaged, another program's, of a newer version, without rights for us) is NeedsMending.

Revisions are Alembic's, in `migrations/` beside the package in a checkout, inside it in the wheel; so this works from
any folder. A migration is one transaction: it happens wholly or not at all, and a second one meanwhile waits and then
finds nothing to do. There is no downgrade: the cure for a bad upgrade is a copy made before.

These functions block: they run before the worker's loop does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from pinning_worker.adapters.machine.disk_faults import trouble_of
from pinning_worker.adapters.sql.database import engine_of
from pinning_worker.adapters.sql.faults import meaning_of
from pinning_worker.adapters.sql.sqlite_file import is_there, require_ours, require_writable, sqlite_path
from pinning_worker.ports.world import DiskFull, NeedsMending


class UnusableDatabase(Exception):
    """The database is away, or is not at the revision that this program needs; the text says what to do."""


def migrate(url: str) -> str:
    """Brings the database to this program's revision, and returns that. Creates missing tables, keeps every row.

    Raises UnusableDatabase, DiskFull, NeedsMending.
    """
    _make_folder(url)
    require_ours(url)
    with _transaction(url, writes=True) as connection:
        require_known(MigrationContext.configure(connection).get_current_revision())
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _require_whole(connection)
    return _head()


def revision_of(url: str) -> str | None:
    """None if nothing was ever migrated. Never creates a missing file. Raises as `require_current`."""
    if not is_there(url):
        return None
    require_ours(url)
    with _transaction(url, writes=False) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_current(url: str) -> None:
    """Raises UnusableDatabase, NeedsMending unless the database is at exactly this program's revision."""
    found = revision_of(url)
    require_known(found)
    if found is None:
        raise UnusableDatabase("the database has no tables yet: run `pinning-worker migrate`")
    if found != _head():
        raise UnusableDatabase(f"the database is at revision {found}, not {_head()}: run `pinning-worker migrate`")


def require_ready(url: str) -> None:
    """Checks everything that can be checked before a worker starts on it. Raises UnusableDatabase, NeedsMending."""
    require_current(url)
    require_writable(url)


def _make_folder(url: str) -> None:
    path = sqlite_path(url)
    try:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise trouble_of("the database's folder cannot be made", error) from error


def require_known(revision: str | None) -> None:
    """Accepts this program's revision and every older one. Raises NeedsMending."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise NeedsMending(
            f"the database is at revision {revision}, which this version does not know: a newer pinning-worker wrote "
            "it. Run that version, or restore a copy of the database from before the upgrade"
        )


def _require_whole(connection: Connection) -> None:
    """SQLite checks no foreign key while tables are copied, so all are checked at once before the commit."""
    if connection.dialect.name == "sqlite" and (lost := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise UnusableDatabase(f"the migration would leave rows without their parents: {lost[:3]}. Nothing was changed")


@contextmanager
def _transaction(url: str, writes: bool) -> Iterator[Connection]:
    """Raises UnusableDatabase, DiskFull, NeedsMending."""
    engine = engine_of(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _without_foreign_keys)
    try:
        with engine.connect().execution_options(writes=writes) as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        match meaning_of(error, engine.url):
            case None:
                raise
            case DiskFull() | NeedsMending() as meaning:
                raise meaning from error
            case meaning:
                raise UnusableDatabase(str(meaning)) from error
    finally:
        engine.dispose()


def _without_foreign_keys(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """Batch mode drops the old table after it has copied it: foreign keys of child tables must not object."""
    connection.execute("PRAGMA foreign_keys=OFF")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    return config


def _scripts() -> Path:
    """The folder is inside the package in the wheel, beside it in a checkout."""
    package = Path(str(files("pinning_worker")))
    inside = package / "migrations"
    return inside if inside.exists() else package.parent / "migrations"


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the wheel carries no migrations"
    return head
