"""Random changes told to the SQL books and to their twin: the same answers, every time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.schema import metadata
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.payment import PaidOutput, Payment, PaymentProof
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.written_once import Rewritten
from pinning_worker.domain.pin import Pin, PinKey, Request, State
from pinning_worker.ports.books import Books, Change
from tests.contract.samples import NOW, ROOT, bare_payment, block_name, pin, proof, quote, request

Row = TypeVar("Row", Request, Pin)

# Few of each, so that steps meet.
ROOTS = (ROOT, Root(b"\x01\x70\x12"), Root(b""))
NAMES = (b"", b"alice", b"\xff")
TXIDS = (Txid("aa"), Txid("bb"), Txid("cc"))
BLOCKS = tuple(block_name(number) for number in range(6))
MOMENTS = tuple(NOW + timedelta(microseconds=number) for number in range(4))

roots, names, blocks = st.sampled_from(ROOTS), st.sampled_from(NAMES), st.sampled_from(BLOCKS)
dates = st.none() | st.sampled_from(MOMENTS)
states = st.sampled_from(State)
sizes = st.none() | st.integers(0, 2**40).map(lambda size: Sizes(1, size, size + 1))
stale = st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1])  # by how much a step's version is off
ONE_OUTPUT = (PaidOutput(0, Swartz(7)),)
TWO_OUTPUTS = (*ONE_OUTPUT, PaidOutput(3, Swartz(1)))


def few(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Its version is by how much the step is off."""
    row = request(draw(roots), state=draw(states), due_at=draw(dates), sizes=draw(sizes), references=draw(few(roots)))
    return replace(row, version=draw(stale))


@st.composite
def pins(draw: st.DrawFn) -> Pin:
    row = pin(draw(roots), NameBytes(draw(names)), state=draw(states), due_at=draw(dates), ends=draw(dates))
    return replace(row, version=draw(stale))


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    """Few ids and prices: some of them are rewritten."""
    id, amount = draw(st.sampled_from(["q1", "q2", "q3"])), Swartz(draw(st.integers(1, 2)))
    script = draw(st.sampled_from([b"ours", b"of old"]))
    return quote(id, draw(roots), payment_script=script, issued=draw(st.sampled_from(MOMENTS[:2])), amount=amount)


@st.composite
def payments(draw: st.DrawFn) -> Payment:
    """Each txid belongs to one root; now and then its outputs are rewritten, or somebody else saw it first."""
    txid = draw(st.sampled_from(TXIDS))
    return bare_payment(
        txid,
        ROOTS[TXIDS.index(txid)],
        outputs=draw(st.sampled_from([ONE_OUTPUT, ONE_OUTPUT, TWO_OUTPUTS, ()])),
        first_seen=draw(st.sampled_from([NOW, NOW, NOW, MOMENTS[1]])),
        proof=draw(st.none() | st.integers(5, 8).map(proof)),
        settled=draw(st.booleans()),
        gone=draw(st.booleans()),
    )


def payment_proofs() -> st.SearchStrategy[PaymentProof]:
    return st.builds(
        PaymentProof,
        txid=st.sampled_from(TXIDS),
        transaction=st.binary(max_size=3),
        header=st.binary(min_size=80, max_size=80),
        position=st.integers(0, 9),
        branch=st.lists(st.sampled_from(["aa" * 32, "bb" * 32]), max_size=2).map(tuple),
    )


@st.composite
def changes(draw: st.DrawFn) -> Change:
    held = st.tuples(roots, st.lists(blocks, max_size=4).map(tuple))
    return Change(
        requests=draw(few(requests())),
        forget=draw(few(requests()) | st.just(())),
        pins=draw(few(pins())),
        quotes=draw(few(quotes())),
        payments=draw(few(payments())),
        payment_proofs=draw(few(payment_proofs())),
        hold=draw(few(held)),
        release=draw(few(roots)),
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(changes(), min_size=1, max_size=12))
def test_sql_books_answer_as_their_twin_does(database: Database, steps: list[Change]) -> None:
    """Catches: any difference in what a change does, whether it is refused, and what the questions answer after it."""
    trio.run(tell_both, SqlBooks(database), MemoryBooks(), database, steps)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    url = f"sqlite:///{tmp_path}/pinning.db"
    migrate(url)
    return Database(url)


async def tell_both(books: Books, twin: Books, database: Database, steps: list[Change]) -> None:
    try:
        await database.write(lambda connection: [connection.execute(table.delete()) for table in _children_first()])
        for step in steps:
            change = await with_versions(twin, step)
            assert await outcome(books, change) == await outcome(twin, change), change
        assert await answers(books) == await answers(twin)
    finally:
        await database.close()


def _children_first() -> list[Table]:
    return list(reversed(metadata.sorted_tables))


async def with_versions(books: Books, step: Change) -> Change:
    """The step as somebody would take it who read the books just now, or a version off."""
    requests = [_at(row, await books.request(row.root)) for row in step.requests]
    pins = [_at(row, await books.pin(row.key)) for row in step.pins]
    forget = [_at(row, await books.request(row.root)) for row in step.forget]
    return replace(step, requests=tuple(requests), pins=tuple(pins), forget=tuple(forget))


def _at(row: Row, stored: Row | None) -> Row:
    return replace(row, version=max(0, (stored.version if stored else 0) + row.version))


async def outcome(books: Books, change: Change) -> bool | str:
    try:
        return await books.commit(change)
    except Rewritten:
        return "rewritten"


async def answers(books: Books) -> list[object]:
    """Everything that can be asked."""
    found: list[object] = [await books.all_pins(), await books.all_payments(), await books.unsettled()]
    found += [await books.unpaid_room(), await books.unreferenced(BLOCKS)]
    for paid_for in (True, False):
        found += [await books.active_requests(paid_for=paid_for), await books.waiting(9, paid_for=paid_for)]
    found += [await books.payments_without_proof(), *[await books.payment_proof(txid) for txid in TXIDS]]
    for root in ROOTS:
        found += [await books.request(root), await books.pins_of(root), await books.quotes(root)]
        found += [
            await books.dossier(root, 2),
            await books.held(root),
            await books.pins_naming(root, 9),
            await books.pins_naming(root, 1),
        ]
        found += [await books.payments_of(PinKey(root, NameBytes(name))) for name in NAMES]
    found += [await books.due(moment, limit) for moment in MOMENTS for limit in (1, 9)]
    found += [await books.scripts_in_use(NOW + timedelta(days=days)) for days in (0, 731, 733)]
    found += [await books.next_due(moment) for moment in MOMENTS]
    return found + [await books.proven_from(height) for height in range(5, 10)]
