"""Shared by every kind of row: inserts that give way, long lists in pieces, a clear error for a damaged row."""

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
    """A stored row has a form that this version does not write: the database is damaged, or a newer version wrote it.

    Nothing has changed. Restore a copy of the database, or run the version that wrote it.
    """


class Conflict(Exception):
    """Another transaction was faster; this one is rolled back."""


def insert_new(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT that leaves an existing row unchanged (the rowcount is then 0)."""
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(table).on_conflict_do_nothing()
        return statement.execution_options(preserve_rowcount=True)  # else SQLAlchemy reads none after an INSERT
    return sqlite.insert(table).on_conflict_do_nothing()


def pieces(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Splits the list into parts that fit into one statement."""
    for start in range(0, len(values), _LONGEST_LIST):
        yield values[start : start + _LONGEST_LIST]


def read_row(kind: str, key: bytes | str, parse: Callable[..., Value], *given: object) -> Value:
    """Returns `parse` of the given values. Raises DamagedRow if it fails."""
    try:
        return parse(*given)
    except (ValueError, TypeError, KeyError) as error:
        shown = key.hex() if isinstance(key, bytes) else key
        raise DamagedRow(f"{kind} {shown} in the database cannot be read: {error!r}") from error


def are_set(*columns: object) -> bool:
    """Whether columns that belong together are set. Raises ValueError if only some are."""
    unset = [column is None for column in columns]
    if any(unset) and not all(unset):
        raise ValueError(f"only some are set of {columns}")
    return not any(unset)


def texts_to_json(texts: Sequence[str]) -> str:
    """Escapes to ASCII, so any string survives the round trip."""
    return json.dumps(texts)


def texts_from_json(stored: str) -> tuple[str, ...]:
    """Raises ValueError."""
    texts = json.loads(stored)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"not a list of texts: {stored}")
    return tuple(texts)
