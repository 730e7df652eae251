"""The tariff log, which alone says what money buys; and the place of a payment in its block.

A purchase is no longer stored with its payment: it follows from the chain, the log and the closure's bytes. Books of an
earlier version have quotes and no tariffs. Each of their price versions becomes a tariff that is derived from its
quotes: the highest price, and the lowest least fee, at which every one of these quotes covers its months. So a payment
for one of them buys no less than before.

A revision is history: it spells its own types, and does not change when the tables do.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

MIB = 1_048_576
SECOND = 1_000_000  # moments are in microseconds


def upgrade() -> None:
    tariffs = op.create_table(
        "tariffs",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("per_mib_month", sa.BigInteger(), nullable=False),
        sa.Column("least", sa.BigInteger(), nullable=False),
        sa.Column("measure", sa.Integer(), nullable=False),
        sa.Column("notice_days", sa.Integer(), nullable=False),
        sa.Column("struck", sa.Boolean(), nullable=False),
        sa.Column("is_derived", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_tariffs"),
    )
    op.add_column("quotes", sa.Column("tariff_hash", sa.String(64), nullable=False, server_default=sa.text("''")))
    op.alter_column("quotes", "price_version", new_column_name="tariff")
    op.add_column("payments", sa.Column("proof_position", sa.Integer()))
    for column in ("bought_quote", "bought_amount", "bought_months"):
        op.drop_column("payments", column)
    derived = _derived(op.get_bind())
    if derived:
        op.bulk_insert(tariffs, [row for _, row in derived])
    quotes = sa.table("quotes", sa.column("tariff", sa.Integer))
    # first to numbers that no version has, so that two versions are never mixed
    for version, row in derived:
        op.execute(quotes.update().where(quotes.c.tariff == version).values(tariff=-row["number"]))
    op.execute(quotes.update().where(quotes.c.tariff < 0).values(tariff=-quotes.c.tariff))


def _derived(connection: sa.Connection) -> list[tuple[int, dict[str, Any]]]:
    """(price version, tariff), the oldest first."""
    names = ("tariff", "amount", "months", "size_metadata", "size_image", "issued")
    quotes = sa.table("quotes", *(sa.column(name, sa.BigInteger) for name in names))
    found: dict[int, dict[str, int]] = {}
    for quote in connection.execute(sa.select(quotes)).yield_per(1000):
        size = (quote.size_metadata + quote.size_image) * quote.months
        price = quote.amount * MIB // size if size else quote.amount
        known = found.setdefault(quote.tariff, {"since": quote.issued, "price": price, "least": quote.amount})
        known["since"] = min(known["since"], quote.issued // SECOND * SECOND)
        known["price"], known["least"] = min(known["price"], price), min(known["least"], quote.amount)
    by_age = sorted(found.items(), key=lambda entry: (entry[1]["since"], entry[0]))
    return [
        (
            version,
            {
                "number": number,
                "since": known["since"] // SECOND * SECOND,
                "per_mib_month": known["price"],
                "least": max(1, known["least"]),
                "measure": 1,
                "notice_days": 31,
                "struck": False,
                "is_derived": True,
            },
        )
        for number, (version, known) in enumerate(by_age, start=1)
    ]
