"""The proof of each payment, so that the books can be checked without a server; and the signed receipts.

Payments of an earlier version have no proof yet: the watcher reads them again.

A revision is history: it spells its own types, and does not change when the tables do.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "payment_proofs",
        sa.Column("txid", sa.String(64), nullable=False),
        sa.Column("transaction_bytes", sa.LargeBinary(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("branch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("txid", name="pk_payment_proofs"),
    )
    op.create_table(
        "signed_receipts",
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("multihash", sa.LargeBinary(), nullable=False),
        sa.Column("block", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_signed_receipts"),
    )
