"""Whose blocks these books are about: an id that both carry, and how often they were opened together.

A revision is history: it spells its own types, and does not change when the tables do.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "store_mark",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("starts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_store_mark"),
    )
