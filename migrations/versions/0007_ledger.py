"""The operator's entries about money: assignments, refunds and closes, in a log that only grows.

A revision is history: it spells its own types, and does not change when the tables do.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("txid", sa.String(64), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("cid_text", sa.Text(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("refund_txid", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_ledger_entries"),
    )
    op.create_index("ix_ledger_entries_txid", "ledger_entries", ["txid"])
