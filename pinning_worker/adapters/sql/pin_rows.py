"""Pins: one row per (CID, name)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select, update

from pinning_worker.adapters.sql.book_tables import pins, request_references
from pinning_worker.adapters.sql.rows import AnyRow, insert_new, read_row
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.pin import STANDING, Pin, PinKey, State


def find(connection: Connection, query: Select[Any]) -> list[Pin]:
    """Returns the pins that the query selects, in its order. Raises DamagedRow."""
    rows = connection.execute(query).all()
    return [read_row("pin", row.root, _from_row, row) for row in rows]


def one(connection: Connection, key: PinKey) -> Pin | None:
    found = find(connection, select(pins).where(pins.c.root == key.root, pins.c.name == key.name))
    return found[0] if found else None


def of_root(connection: Connection, root: Root) -> Sequence[Pin]:
    return find(connection, select(pins).where(pins.c.root == root).order_by(pins.c.name))


def every(connection: Connection) -> Sequence[Pin]:
    return find(connection, select(pins).order_by(pins.c.root, pins.c.name))


def naming(connection: Connection, cid: Root, limit: int) -> Sequence[Pin]:
    """Standing pins of that CID, or of one whose metadata names it: latest end first."""
    referring = select(request_references.c.root).where(request_references.c.cid == cid)
    standing = pins.c.state.in_([state.value for state in STANDING])
    query = select(pins).where(standing, (pins.c.root == cid) | pins.c.root.in_(referring))
    return find(connection, query.order_by(pins.c.ends.desc().nulls_last(), pins.c.root, pins.c.name).limit(limit))


def store(connection: Connection, pin: Pin) -> bool:
    """Compare and swap: False if the stored version is another."""
    if pin.version == 0:
        statement: Any = insert_new(connection, pins).values(_to_row(pin))
    else:
        known = (pins.c.root == pin.root) & (pins.c.name == pin.name) & (pins.c.version == pin.version)
        statement = update(pins).where(known).values(_to_row(pin))
    return bool(connection.execute(statement).rowcount == 1)


_AS_THEY_ARE = ("root", "name", "cid_text", "due_at", "starts", "ends", "reminded", "unproven_at", "reason", "attempts")


def _to_row(pin: Pin) -> dict[str, object]:
    values = {field: getattr(pin, field) for field in _AS_THEY_ARE}
    return {**values, "state": pin.state.value, "version": pin.version + 1}


def _from_row(row: AnyRow) -> Pin:
    values = {field: getattr(row, field) for field in _AS_THEY_ARE}
    return Pin(**values, state=State(row.state), version=row.version)
