"""The tables of the name index.

`name_progress` has one row: the height to index next. `name_blocks` holds the hash of the block indexed at each height,
`name_ops` its name operations (times in seconds since 1970, amounts in swartz), `name_metadata` our knowledge of the
content that names point to. A row's `root` is the CIDv1 bytes of the CID in its value, null if the value has none.

Each filter of LIST is a column that says whether it selects the row, and an index of those rows alone in the order of
every answer: a page from any offset is a walk along that index, and reads no row but its own.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    false,
    text,
)

from pinning_worker.adapters.sql.column_types import Money
from pinning_worker.adapters.sql.schema import metadata
from pinning_worker.domain.topic.listing import NameFilter

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
    Column("blocktime", BigInteger, index=True),  # null if the block holds no name: no answer needs its time
)

SELECTED_BY = {
    NameFilter.E: "is_e",
    NameFilter.PE: "is_pe",
    NameFilter.BP: "is_bp",
    NameFilter.NAMES: "is_names",
    NameFilter.NFC: "is_nfc",
    NameFilter.COLLECTIONS: "is_collections",
}
"""The column of each filter; ALL has none."""

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
    *(Column(column, Boolean, nullable=False, server_default=false()) for column in SELECTED_BY.values()),
    Index(None, "root"),
)
for selected in SELECTED_BY.values():
    Index(
        f"ix_name_ops_{selected}",
        *(name_ops.c[column] for column in ("height", "position", "blocktime")),
        sqlite_where=text(f"{selected} = 1"),  # as SQLAlchemy writes the condition for each database
        postgresql_where=text(selected),
    )

name_metadata = Table(
    "name_metadata",
    metadata,
    Column("root", LargeBinary, primary_key=True),
    Column("has_images", Boolean, nullable=False),
)
