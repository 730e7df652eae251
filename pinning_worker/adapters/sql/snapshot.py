"""A consistent copy of a SQLite database, taken while a worker writes, and the contents of such a copy.

SQLite's own backup makes it, in one step: in WAL mode a reader keeps no writer waiting, however long it reads. In many
small steps it would begin anew after every write of another process, and never end beside a busy worker.

The copy is one file, without a log beside it (`-wal`), so that one hash covers everything, and it is checked before
`take_snapshot` returns. Reading it takes no locks and writes nothing beside it: it may be on a read-only disk.

These functions block.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.store_mark import Mark

_WAIT_SECONDS = 30


class UnreadableDatabase(Exception):
    """The database cannot be copied, or the copy is not sound. The text names the file."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a copy. `held` lists every block that a root references, in order."""

    revision: str | None
    mark: Mark | None
    held: tuple[Multihash, ...]


def take_snapshot(source: Path, target: Path) -> None:
    """`target` must not exist. Raises UnreadableDatabase."""
    with (
        _meant(f"the database {source} cannot be copied to {target}"),
        closing(_open(source, "mode=rw")) as live,
        closing(_open(target, "mode=rwc")) as copy,
    ):
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()
        found = [row[0] for row in copy.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise UnreadableDatabase(f"the database {source} is damaged: {'; '.join(found)}")


def read_snapshot(file: Path) -> Contents:
    """Reads a copy of any revision, also one from before the marks. Raises UnreadableDatabase."""
    with _meant(f"the database {file} cannot be read"), closing(_open(file, "mode=ro&immutable=1")) as copy:
        tables = {row[0] for row in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

        def rows(table: str, query: str) -> list[tuple[Any, ...]]:
            return copy.execute(query).fetchall() if table in tables else []

        revisions = rows("alembic_version", "SELECT version_num FROM alembic_version")
        marks = rows("store_mark", "SELECT id, starts FROM store_mark")
        held = rows("block_references", "SELECT DISTINCT multihash FROM block_references ORDER BY multihash")
        return Contents(
            revision=str(revisions[0][0]) if revisions else None,
            mark=Mark(str(marks[0][0]), int(marks[0][1])) if marks else None,
            held=tuple(row[0] for row in held),
        )


def _open(file: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file.absolute()))}?{how}", uri=True, timeout=_WAIT_SECONDS)


@contextmanager
def _meant(failure: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnreadableDatabase(f"{failure}: {error}") from error
