"""The requests and pins that are due: one query over both, answered from the index of each in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from pinning_worker.adapters.sql import pin_rows, request_rows
from pinning_worker.adapters.sql.book_tables import pins, requests
from pinning_worker.domain.pin import ACTIVE, Pin, Request


def due(connection: Connection, now: datetime, limit: int) -> Sequence[Request | Pin]:
    """The longest overdue first; of rows due at the same moment requests before pins."""
    idle = requests.c.state.not_in([state.value for state in ACTIVE])
    asked = select(requests).where(requests.c.due_at <= now, idle).order_by(requests.c.due_at, requests.c.root)
    kept = select(pins).where(pins.c.due_at <= now).order_by(pins.c.due_at, pins.c.root, pins.c.name)
    overdue: list[Request | Pin] = [*request_rows.find(connection, asked.limit(limit))]
    overdue += pin_rows.find(connection, kept.limit(limit))
    return sorted(overdue, key=lambda row: row.due_at or now)[:limit]  # the sort is stable, and every row has a date


def waiting(connection: Connection, limit: int, *, paid_for: bool) -> Sequence[Request]:
    """ACTIVE requests, the longest waiting first."""
    active = request_rows.is_active(paid_for=paid_for)
    asked = select(requests).where(active).order_by(requests.c.due_at, requests.c.root).limit(limit)
    return request_rows.find(connection, asked)


def next_due(connection: Connection, after: datetime) -> datetime | None:
    firsts = [
        connection.execute(select(func.min(table.c.due_at)).where(table.c.due_at > after)).scalar()
        for table in (requests, pins)
    ]
    return min((first for first in firsts if first is not None), default=None)
