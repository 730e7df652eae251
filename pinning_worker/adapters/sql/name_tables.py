"""The tables of the name index.

`name_progress` has one row: the height to index next. `name_blocks` says which block was indexed at each height,
`name_ops` what it held (times in seconds since 1970, amounts in swartz), `name_metadata` what is known of the content
that names point to. A row's `root` is the CIDv1 bytes of the CID in its value, null where that names none.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, String, Table

from pinning_worker.adapters.sql.column_types import Money
from pinning_worker.adapters.sql.schema import metadata

name_progress = Table(
    "name_progress",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("next_height", Integer, nullable=False),
)

name_blocks = Table(
    "name_blocks",
    metadata,
    Column("height", Integer, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
)

name_ops = Table(
    "name_ops",
    metadata,
    # A transaction has at most one name output: (height, position) names it, and is the order of every answer.
    Column("height", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("txid", String(64), nullable=False),
    Column("n", Integer, nullable=False),
    Column("blocktime", BigInteger, nullable=False),
    Column("value_swartz", Money, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("address", String(128), nullable=False),
    Column("root", LargeBinary),
    Index(None, "blocktime"),
)

name_metadata = Table(
    "name_metadata",
    metadata,
    Column("root", LargeBinary, primary_key=True),
    Column("has_images", Boolean, nullable=False),
)
