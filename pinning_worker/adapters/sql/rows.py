"""What every kind of row needs: inserts that give way, long lists in pieces, a clear word when a row is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Row, Table
from sqlalchemy.dialects import postgresql, sqlite

from pinning_worker.ports.world import NeedsMending

Value = TypeVar("Value")
AnyRow: TypeAlias = Row[Any]  # the columns' types are those of the table

_LONGEST_LIST = 1000  # placeholders of one statement; SQLite takes 32 766, PostgreSQL 65 535


class DamagedRow(NeedsMending):
    """A stored row is not what this version writes: the database is damaged, or a newer version wrote it.

    Nothing was changed. Restore a copy of the database, or run the version that wrote it.
    """


class Conflict(Exception):
    """Somebody was faster; the transaction is rolled back."""


def insert_new(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT that leaves a row that is there already as it is (the rowcount is then 0)."""
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(table).on_conflict_do_nothing()
        return statement.execution_options(preserve_rowcount=True)  # psycopg's is else not asked for after an INSERT
    return sqlite.insert(table).on_conflict_do_nothing()


def pieces(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """The list in parts that one statement can ask for."""
    for start in range(0, len(values), _LONGEST_LIST):
        yield values[start : start + _LONGEST_LIST]


def read_row(kind: str, key: bytes | str, parse: Callable[..., Value], *given: object) -> Value:
    """What `parse` makes of what the row gave. Raises DamagedRow where it can't."""
    try:
        return parse(*given)
    except (ValueError, TypeError, KeyError) as error:
        shown = key.hex() if isinstance(key, bytes) else key
        raise DamagedRow(f"{kind} {shown} in the database cannot be read: {error!r}") from error


def are_set(*columns: object) -> bool:
    """Whether columns that stand or fall together stand. Raises ValueError for half of them."""
    unset = [column is None for column in columns]
    if any(unset) and not all(unset):
        raise ValueError(f"only some are set of {columns}")
    return not any(unset)


def texts_to_json(texts: Sequence[str]) -> str:
    """Escaped to ASCII, so any string goes in and comes back."""
    return json.dumps(texts)


def texts_from_json(stored: str) -> tuple[str, ...]:
    """Raises ValueError."""
    texts = json.loads(stored)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"not a list of texts: {stored}")
    return tuple(texts)
