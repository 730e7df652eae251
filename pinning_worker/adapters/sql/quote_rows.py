"""Quotes: written once, kept for ever, because they note the bytes of a closure, by which payments are judged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from pinning_worker.adapters.sql.book_tables import pins, quotes, tariffs
from pinning_worker.adapters.sql.rows import AnyRow, Conflict, insert_new, read_row, texts_from_json, texts_to_json
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import Script
from pinning_worker.domain.money.pricing import WATCHED_AFTER, Quote
from pinning_worker.domain.money.written_once import require_same_quote
from pinning_worker.domain.pin import State


def of_root(connection: Connection, root: Root) -> Sequence[Quote]:
    """Returns the oldest first. Raises DamagedRow."""
    rows = connection.execute(select(quotes).where(quotes.c.root == root).order_by(quotes.c.issued, quotes.c.id))
    return [_read(row) for row in rows]


def scripts_in_use(connection: Connection, now: datetime) -> set[Script]:
    """Payment scripts of quotes that expired less than WATCHED_AFTER ago, and of all quotes of roots that have a pin
    which is not RELEASED."""
    kept = select(pins.c.root).where(pins.c.state != State.RELEASED.value)
    asked = (
        select(quotes.c.payment_script)
        .where(or_(quotes.c.expires > now - WATCHED_AFTER, quotes.c.root.in_(kept)))
        .distinct()
    )
    return {Script(bytes(script)) for script in connection.scalars(asked)}


def measured(connection: Connection) -> dict[Root, dict[int, int]]:
    """The fewest bytes of each quoted closure, by the number of a tariff that a quote of it names."""
    size = func.min(quotes.c.size_metadata + quotes.c.size_image)
    found: dict[Root, dict[int, int]] = {}
    for row in connection.execute(
        select(quotes.c.root, quotes.c.tariff, size.label("size")).group_by(quotes.c.root, quotes.c.tariff)
    ):
        found.setdefault(Root(bytes(row.root)), {})[row.tariff] = row.size
    return found


def store(connection: Connection, quote: Quote) -> None:
    """Accepts an existing quote again if nothing in it has changed. Raises Rewritten, Conflict."""
    row = connection.execute(select(quotes).where(quotes.c.id == quote.id)).one_or_none()
    if row is not None:
        require_same_quote(_read(row), quote)
    elif connection.execute(_struck.where(tariffs.c.number == quote.tariff)).scalar():
        raise Conflict  # the operator struck it meanwhile: a struck tariff is honoured for nobody
    elif connection.execute(insert_new(connection, quotes).values(_to_row(quote))).rowcount != 1:
        raise Conflict


_struck = select(tariffs.c.struck).with_for_update(read=True)
"""PostgreSQL waits here for a strike that is under way in another process; SQLite has one writer anyhow."""


def _read(row: AnyRow) -> Quote:
    return read_row("quote", row.id, _from_row, row)


_AS_THEY_ARE = (
    *("id", "root", "cid_text", "months", "amount", "tariff", "tariff_hash", "blocks"),
    *("issued", "expires", "payment_address", "payment_script", "network"),
)


def _to_row(quote: Quote) -> dict[str, object]:
    values = {field: getattr(quote, field) for field in _AS_THEY_ARE}
    sizes = {"size_metadata": quote.sizes.metadata, "size_image": quote.sizes.image}
    return {**values, **sizes, "foreign_links": texts_to_json(quote.foreign)}


def _from_row(row: AnyRow) -> Quote:
    values = {field: getattr(row, field) for field in _AS_THEY_ARE}
    sizes = Sizes(row.size_metadata, row.size_image, row.size_metadata + row.size_image)
    return Quote(**values, sizes=sizes, foreign=texts_from_json(row.foreign_links))
