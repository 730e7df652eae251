"""Each filter of LIST has a column and an index of its own: a page from a high offset costs little more than the first.

A revision is history: it spells its own types and filters, and does not change when the tables do.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_FILTERS = ("is_e", "is_pe", "is_bp", "is_names", "is_nfc", "is_collections")


def upgrade() -> None:
    for column in _FILTERS:
        op.add_column("name_ops", sa.Column(column, sa.Boolean(), nullable=False, server_default=sa.false()))
    _fill()
    op.drop_index("ix_name_ops_blocktime", table_name="name_ops")
    op.add_column("name_blocks", sa.Column("blocktime", sa.BigInteger()))
    op.execute(
        "UPDATE name_blocks SET blocktime = "
        "(SELECT min(name_ops.blocktime) FROM name_ops WHERE name_ops.height = name_blocks.height)"
    )
    op.create_index("ix_name_blocks_blocktime", "name_blocks", ["blocktime"])
    op.create_index("ix_name_ops_root", "name_ops", ["root"])
    for column in _FILTERS:
        op.create_index(
            f"ix_name_ops_{column}",
            "name_ops",
            ["height", "position", "blocktime"],
            sqlite_where=sa.text(f"{column} = 1"),
            postgresql_where=sa.text(column),
        )


def _fill() -> None:
    ops = sa.table(
        "name_ops",
        *(sa.column(name, sa.LargeBinary()) for name in ("name", "value", "root")),
        *(sa.column(name, sa.Boolean()) for name in _FILTERS),
    )
    known = sa.table("name_metadata", sa.column("root", sa.LargeBinary()), sa.column("has_images", sa.Boolean()))

    def begins(column: sa.ColumnElement[bytes], *prefixes: bytes) -> sa.ColumnElement[bool]:
        ranges = [(column >= prefix) & (column < prefix[:-1] + bytes((prefix[-1] + 1,))) for prefix in prefixes]
        return sa.or_(*ranges)

    without = sa.select(known.c.root).where(sa.not_(known.c.has_images))
    named = begins(ops.c.name, b"e/", b"pe/", b"poe/", b"nft/", b"bp/")
    is_nfc = begins(ops.c.value, b"ipfs://")
    selects = {
        "is_e": begins(ops.c.name, b"e/"),
        "is_pe": begins(ops.c.name, b"pe/", b"poe/"),
        "is_bp": begins(ops.c.name, b"bp/"),
        "is_names": ops.c.value.in_((b"", b" ", b"empty")) & sa.not_(named),
        "is_nfc": is_nfc,
        "is_collections": is_nfc & sa.or_(ops.c.root.is_(None), ops.c.root.not_in(without)),
    }
    for column, selected in selects.items():
        op.execute(sa.update(ops).where(selected).values({column: sa.true()}))
