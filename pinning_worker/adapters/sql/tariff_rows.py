"""Tariffs: a log that only grows. A tariff that is struck stays in it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, exists, select, update

from pinning_worker.adapters.sql.book_tables import payments, quotes, tariffs
from pinning_worker.adapters.sql.rows import AnyRow, insert_new, read_row
from pinning_worker.domain.money.tariff import Tariff, TariffLog, follows, may_strike


def every(connection: Connection) -> TariffLog:
    """By number. Raises DamagedRow."""
    rows = connection.execute(select(tariffs).order_by(tariffs.c.number))
    return tuple(read_row("tariff", str(row.number), _from_row, row) for row in rows)


def add(tariff: Tariff, connection: Connection) -> bool:
    if not follows(tariff, every(connection)):
        return False
    added: int = connection.execute(insert_new(connection, tariffs).values(_to_row(tariff))).rowcount
    return added == 1  # else another process was faster


def strike(number: int, connection: Connection) -> bool:
    # a quote that is being stored by another process (PostgreSQL) is stored first, or sees the strike
    connection.execute(select(tariffs.c.number).where(tariffs.c.number == number).with_for_update())
    is_named = connection.execute(select(exists().where(quotes.c.tariff == number))).scalar_one()
    log = every(connection)
    if is_named or not may_strike(number, log):
        return False
    if connection.execute(select(exists().where(payments.c.proof_time >= log[-1].honoured_from))).scalar_one():
        return False
    connection.execute(update(tariffs).where(tariffs.c.number == number).values(struck=True))
    return True


_AS_THEY_ARE = ("number", "since", "per_mib_month", "least", "measure", "struck", "is_derived")


def _to_row(tariff: Tariff) -> dict[str, object]:
    return {**{field: getattr(tariff, field) for field in _AS_THEY_ARE}, "notice_days": tariff.notice.days}


def _from_row(row: AnyRow) -> Tariff:
    values = {field: getattr(row, field) for field in _AS_THEY_ARE}
    return Tariff(**values, notice=timedelta(days=row.notice_days))
