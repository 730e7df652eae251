"""Requests: one row per CID, and a child row for each CID that its metadata names."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from pinning_worker.adapters.sql.book_tables import pins, request_references, requests
from pinning_worker.adapters.sql.rows import (
    AnyRow,
    are_set,
    insert_new,
    pieces,
    read_row,
    texts_from_json,
    texts_to_json,
)
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.sizes import PIECE, Sizes
from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.pin import ACTIVE, LIVE, Asker, Request, Share, State


def find(connection: Connection, query: Select[Any]) -> list[Request]:
    """Returns the requests that the query selects, in its order. Raises DamagedRow."""
    rows = connection.execute(query).all()
    named: defaultdict[Root, list[Root]] = defaultdict(list)
    for roots in pieces([row.root for row in rows]):
        children = select(request_references).where(request_references.c.root.in_(roots))
        for child in connection.execute(children.order_by(request_references.c.root, request_references.c.position)):
            named[child.root].append(child.cid)
    return [read_row("request", row.root, _from_row, row, tuple(named[row.root])) for row in rows]


def one(connection: Connection, root: Root) -> Request | None:
    found = find(connection, select(requests).where(requests.c.root == root))
    return found[0] if found else None


def store(connection: Connection, request: Request) -> bool:
    """Compare and swap: False if the stored version is another."""
    values = _to_row(request)
    if request.version == 0:
        statement: Any = insert_new(connection, requests).values(values)
    else:
        known = (requests.c.root == request.root) & (requests.c.version == request.version)
        statement = update(requests).where(known).values(values)
    if connection.execute(statement).rowcount != 1:
        return False
    connection.execute(delete(request_references).where(request_references.c.root == request.root))
    if request.references:
        numbered = enumerate(request.references)
        children = [{"root": request.root, "position": position, "cid": cid} for position, cid in numbered]
        connection.execute(insert(request_references), children)
    return True


def forget(connection: Connection, request: Request) -> bool:
    """Compare and delete: False if the stored version is another."""
    connection.execute(delete(request_references).where(request_references.c.root == request.root))
    known = (requests.c.root == request.root) & (requests.c.version == request.version)
    return connection.execute(delete(requests).where(known)).rowcount == 1


def count_active(connection: Connection, *, paid_for: bool) -> int:
    counted = select(func.count()).select_from(requests).where(is_active(paid_for=paid_for))
    return connection.execute(counted).scalar_one()


def is_active(*, paid_for: bool) -> ColumnElement[bool]:
    """With `paid_for`: a pin of the root `keeps` (Pin.keeps, in SQL)."""
    owed = and_(pins.c.state == State.OWED.value, pins.c.ends.is_not(None), pins.c.due_at.is_not(None))
    kept = exists().where(pins.c.root == requests.c.root, or_(_is_live(), owed))
    active = requests.c.state.in_([state.value for state in ACTIVE])
    return and_(active, kept if paid_for else ~kept)


def unpaid_room(connection: Connection) -> dict[tuple[Share, ...], int]:
    """`disk_room` in SQL. Raises DamagedRow."""
    live = exists().where(pins.c.root == requests.c.root, _is_live())
    size = requests.c.size_metadata + requests.c.size_image
    least = cast(requests.c.blocks, BigInteger) * PIECE
    total = func.sum(case((size > least, size), else_=least)).label("total")
    quoted = and_(requests.c.state == State.QUOTED.value, requests.c.size_metadata.is_not(None))
    query = select(requests.c.staged_for, total).where(quoted, ~live).group_by(requests.c.staged_for)
    return dict(read_row("request", row.staged_for, _staged, row) for row in connection.execute(query))


def _staged(row: AnyRow) -> tuple[tuple[Share, ...], int]:
    return _shares(row.staged_for), int(row.total)


def _shares(stored: str) -> tuple[Share, ...]:
    return tuple(Share(address, connection, peer) for address, connection, peer in json.loads(stored))


def _is_live() -> ColumnElement[bool]:
    return pins.c.state.in_([state.value for state in LIVE])


def _to_row(request: Request) -> dict[str, object]:
    return {
        "root": request.root,
        "state": request.state.value,
        "due_at": request.due_at,
        "version": request.version + 1,
        "askers": json.dumps([asdict(asker) for asker in request.askers]),
        "size_metadata": request.sizes.metadata if request.sizes else None,
        "size_image": request.sizes.image if request.sizes else None,
        "blocks": request.blocks,
        "foreign_links": texts_to_json(request.foreign),
        "file_name": request.file_name,
        "failure": request.failure.value if request.failure else None,
        "reason": request.reason,
        "attempts": request.attempts,
        "staged_for": json.dumps(request.staged_for),
    }


def _from_row(row: AnyRow, references: tuple[Root, ...]) -> Request:
    measured = are_set(row.size_metadata, row.size_image)
    return Request(
        root=row.root,
        state=State(row.state),
        due_at=row.due_at,
        version=row.version,
        askers=tuple(_asker(stored) for stored in json.loads(row.askers)),
        sizes=Sizes(row.size_metadata, row.size_image, row.size_metadata + row.size_image) if measured else None,
        blocks=row.blocks,
        references=references,
        foreign=texts_from_json(row.foreign_links),
        file_name=row.file_name,
        failure=ErrorCode(row.failure) if row.failure is not None else None,
        reason=row.reason,
        attempts=row.attempts,
        staged_for=_shares(row.staged_for),
    )


def _asker(stored: dict[str, Any]) -> Asker:
    """A field that this version does not know raises TypeError: the row counts as damaged."""
    return Asker(**{**stored, "origins": tuple(stored["origins"])})
