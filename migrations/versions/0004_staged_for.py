"""For whom a request that is quoted and not paid takes room in the staging quota.

A revision is history: it spells its own types, and does not change when the tables do.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("requests", sa.Column("staged_for", sa.Text(), nullable=False, server_default="[]"))
