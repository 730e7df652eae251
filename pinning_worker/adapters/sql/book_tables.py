"""The tables of the books and the receipts: one for each kind of row, child tables for parts that queries look up.

`root` is the CIDv1 bytes of a CID. `version` is what compare-and-swap compares. An output's primary key is (txid, vout)
and its transaction the payment's: no output can be booked twice. Lists that no query searches (askers, foreign links)
are JSON in one column.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from pinning_worker.adapters.sql.column_types import AnyText, Moment, Money
from pinning_worker.adapters.sql.schema import metadata

requests = Table(
    "requests",
    metadata,
    Column("root", LargeBinary, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("due_at", Moment),
    Column("version", Integer, nullable=False),
    Column("askers", Text, nullable=False),
    Column("size_metadata", BigInteger),
    Column("size_image", BigInteger),
    Column("blocks", Integer, nullable=False),
    Column("foreign_links", Text, nullable=False),
    Column("file_name", AnyText, nullable=False),
    Column("failure", String(16)),
    Column("reason", AnyText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("staged_for", Text, nullable=False, server_default="[]"),
    Index(None, "due_at"),
    Index(None, "state"),
)

request_references = Table(
    "request_references",
    metadata,
    Column("root", LargeBinary, ForeignKey("requests.root"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("cid", LargeBinary, nullable=False),
    Index(None, "cid"),
)

pins = Table(
    "pins",
    metadata,
    Column("root", LargeBinary, primary_key=True),
    Column("name", LargeBinary, primary_key=True),
    Column("cid_text", AnyText, nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_at", Moment),
    Column("version", Integer, nullable=False),
    Column("starts", Moment),
    Column("ends", Moment),
    Column("reminded", Integer),
    Column("unproven_at", Integer),
    Column("reason", AnyText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index(None, "due_at"),
    Index(None, "state"),
)

quotes = Table(
    "quotes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("root", LargeBinary, nullable=False),
    Column("cid_text", AnyText, nullable=False),
    Column("months", Integer, nullable=False),
    Column("amount", Money, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("tariff_hash", String(64), nullable=False, server_default=text("''")),
    Column("size_metadata", BigInteger, nullable=False),
    Column("size_image", BigInteger, nullable=False),
    Column("blocks", Integer, nullable=False),
    Column("issued", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("payment_address", String(128), nullable=False),
    Column("payment_script", LargeBinary, nullable=False),
    Column("network", String(32), nullable=False),
    Column("foreign_links", Text, nullable=False),
    Index(None, "root"),
)

tariffs = Table(
    "tariffs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("since", Moment, nullable=False),
    Column("per_mib_month", Money, nullable=False),
    Column("least", Money, nullable=False),
    Column("measure", Integer, nullable=False),
    Column("notice_days", Integer, nullable=False),
    Column("struck", Boolean, nullable=False),
    Column("is_derived", Boolean, nullable=False),
)

payments = Table(
    "payments",
    metadata,
    Column("txid", String(64), primary_key=True),
    Column("root", LargeBinary, nullable=False),
    Column("cid_text", AnyText, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("proof_height", Integer),
    Column("proof_hash", String(64)),
    Column("proof_time", Moment),
    Column("proof_position", Integer),
    Column("settled", Boolean, nullable=False),
    Column("announced", Integer, nullable=False),
    Column("gone", Boolean, nullable=False),
    Index(None, "root", "name"),
    Index(None, "proof_height"),
    Index(None, "settled", "gone"),
)

payment_outputs = Table(
    "payment_outputs",
    metadata,
    Column("txid", String(64), ForeignKey("payments.txid"), primary_key=True),
    Column("vout", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", Money, CheckConstraint("amount >= 0", name="no_debt"), nullable=False),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("at", Moment, nullable=False),
    Column("txid", String(64), nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("cid_text", AnyText, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("amount", Money, nullable=False),
    Column("refund_txid", String(64), nullable=False),
    Column("reason", AnyText, nullable=False),
    Index(None, "txid"),
)

payment_proofs = Table(
    "payment_proofs",
    metadata,
    Column("txid", String(64), primary_key=True),
    Column("transaction_bytes", LargeBinary, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("branch", LargeBinary, nullable=False),
)

block_references = Table(
    "block_references",
    metadata,
    Column("root", LargeBinary, primary_key=True),
    Column("multihash", LargeBinary, primary_key=True),
    Index(None, "multihash"),
    sqlite_with_rowid=False,  # rows in the order of their key: half the space, a closure in one piece
)

receipts = Table(
    "receipts",
    metadata,
    Column("key", String(256), primary_key=True),
    Column("cid", String(256), nullable=False),
    Column("name_id", AnyText, nullable=False),
    Column("txid", String(64), nullable=False),
    Column("file_name", AnyText, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("blocks", Integer, nullable=False),
    Column("received", Money, nullable=False),
    Column("fee", Money, nullable=False),
    Column("months", Integer, nullable=False),
    Column("quote_id", String(64), nullable=False),
    Column("pinned_at", Moment, nullable=False),
    Column("starts", Moment, nullable=False),
    Column("ends", Moment, nullable=False),
    Column("released_at", Moment),
)

signed_receipts = Table(
    "signed_receipts",
    metadata,
    Column("key", String(256), primary_key=True),
    Column("multihash", LargeBinary, nullable=False),
    Column("block", LargeBinary, nullable=False),
)

store_mark = Table(
    "store_mark", metadata, Column("id", String(32), primary_key=True), Column("starts", Integer, nullable=False)
)
