"""The books, the receipts and the name index.

A revision is history: it spells its own types, and does not change when the tables do.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "block_references",
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("multihash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("root", "multihash", name="pk_block_references"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_block_references_multihash", "block_references", ["multihash"])
    op.create_table(
        "name_blocks",
        sa.Column("height", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("height", name="pk_name_blocks"),
    )
    op.create_table(
        "name_metadata",
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("has_images", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("root", name="pk_name_metadata"),
    )
    op.create_table(
        "name_ops",
        sa.Column("height", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("txid", sa.String(64), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("blocktime", sa.BigInteger(), nullable=False),
        sa.Column("value_swartz", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.String(128), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("height", "position", name="pk_name_ops"),
    )
    op.create_index("ix_name_ops_blocktime", "name_ops", ["blocktime"])
    op.create_table(
        "name_progress",
        sa.Column(
            "id", sa.Integer(), _check("id = 1", "name_progress", "one_row"), autoincrement=False, nullable=False
        ),
        sa.Column("next_height", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_name_progress"),
    )
    op.create_table(
        "payments",
        sa.Column("txid", sa.String(64), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("cid_text", sa.Text(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("proof_height", sa.Integer(), nullable=True),
        sa.Column("proof_hash", sa.String(64), nullable=True),
        sa.Column("proof_time", sa.BigInteger(), nullable=True),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("bought_quote", sa.String(64), nullable=True),
        sa.Column("bought_amount", sa.BigInteger(), nullable=True),
        sa.Column("bought_months", sa.Integer(), nullable=True),
        sa.Column("announced", sa.Integer(), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("txid", name="pk_payments"),
    )
    op.create_index("ix_payments_proof_height", "payments", ["proof_height"])
    op.create_index("ix_payments_root_name", "payments", ["root", "name"])
    op.create_index("ix_payments_settled_gone", "payments", ["settled", "gone"])
    op.create_table(
        "pins",
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("cid_text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("starts", sa.BigInteger(), nullable=True),
        sa.Column("ends", sa.BigInteger(), nullable=True),
        sa.Column("reminded", sa.Integer(), nullable=True),
        sa.Column("unproven_at", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("root", "name", name="pk_pins"),
    )
    op.create_index("ix_pins_due_at", "pins", ["due_at"])
    op.create_index("ix_pins_state", "pins", ["state"])
    op.create_table(
        "quotes",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("cid_text", sa.Text(), nullable=False),
        sa.Column("months", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("price_version", sa.Integer(), nullable=False),
        sa.Column("size_metadata", sa.BigInteger(), nullable=False),
        sa.Column("size_image", sa.BigInteger(), nullable=False),
        sa.Column("blocks", sa.Integer(), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("payment_address", sa.String(128), nullable=False),
        sa.Column("payment_script", sa.LargeBinary(), nullable=False),
        sa.Column("network", sa.String(32), nullable=False),
        sa.Column("foreign_links", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quotes"),
    )
    op.create_index("ix_quotes_root", "quotes", ["root"])
    op.create_table(
        "receipts",
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("cid", sa.String(256), nullable=False),
        sa.Column("name_id", sa.Text(), nullable=False),
        sa.Column("txid", sa.String(64), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("blocks", sa.Integer(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("months", sa.Integer(), nullable=False),
        sa.Column("quote_id", sa.String(64), nullable=False),
        sa.Column("pinned_at", sa.BigInteger(), nullable=False),
        sa.Column("starts", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_receipts"),
    )
    op.create_table(
        "requests",
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("askers", sa.Text(), nullable=False),
        sa.Column("size_metadata", sa.BigInteger(), nullable=True),
        sa.Column("size_image", sa.BigInteger(), nullable=True),
        sa.Column("blocks", sa.Integer(), nullable=False),
        sa.Column("foreign_links", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("failure", sa.String(16), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("root", name="pk_requests"),
    )
    op.create_index("ix_requests_due_at", "requests", ["due_at"])
    op.create_index("ix_requests_state", "requests", ["state"])
    op.create_table(
        "payment_outputs",
        sa.Column("txid", sa.String(64), nullable=False),
        sa.Column("vout", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), _check("amount >= 0", "payment_outputs", "no_debt"), nullable=False),
        sa.PrimaryKeyConstraint("txid", "vout", name="pk_payment_outputs"),
        sa.ForeignKeyConstraint(["txid"], ["payments.txid"], name="fk_payment_outputs_txid_payments"),
    )
    op.create_table(
        "request_references",
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cid", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("root", "position", name="pk_request_references"),
        sa.ForeignKeyConstraint(["root"], ["requests.root"], name="fk_request_references_root_requests"),
    )
    op.create_index("ix_request_references_cid", "request_references", ["cid"])


def _check(condition: str, table: str, name: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))
