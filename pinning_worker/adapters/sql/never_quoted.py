"""Payments to our address that we never quoted: the trace of a second worker that sells under the same address.

The chain shows every payment to both workers. The worker that did not quote it sees money for something that it never
offered. Dust has no pin, and is no trace of anything.
"""

from __future__ import annotations

from sqlalchemy import Connection, distinct, exists, func, select

from pinning_worker.adapters.sql.book_tables import payments, pins, quotes
from pinning_worker.adapters.sql.database import Database


async def paid_and_never_quoted(database: Database) -> int:
    """Counts the CIDs without a quote of ours at the moment when their payment was first seen. Raises Trouble.

    A quote is never deleted, and `recover` restores quotes from the receipts. A quote given after an unsolicited
    payment is later than that payment.
    """
    offered = exists().where(quotes.c.root == payments.c.root, quotes.c.issued <= payments.c.first_seen)
    has_pin = exists().where(pins.c.root == payments.c.root, pins.c.name == payments.c.name)
    wanted = select(func.count(distinct(payments.c.root))).where(payments.c.gone.is_(False), has_pin, ~offered)

    def count(connection: Connection) -> int:
        return int(connection.execute(wanted).scalar_one())

    return await database.read(count)
