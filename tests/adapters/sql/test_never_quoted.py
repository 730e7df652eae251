"""Two workers with one payment address: what the one that was not asked sees in its books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.never_quoted import paid_and_never_quoted
from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.ports import Change
from tests.contract.samples import NOW, OTHER, OTHER_TXID, ROOT, TXID, bare_payment, pin, quote

LATER = NOW + timedelta(minutes=10)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/pinning.db"
    migrate(url)
    opened = Database(url)
    yield opened
    await opened.close()


async def test_what_was_quoted_first_is_ours(database: Database) -> None:
    paid = (bare_payment(TXID, ROOT, first_seen=LATER), bare_payment(OTHER_TXID, OTHER, first_seen=LATER))
    assert await SqlBooks(database).commit(Change(quotes=(quote("q1", ROOT), quote("q2", OTHER)), payments=paid))
    assert await paid_and_never_quoted(database) == 0


async def test_what_was_paid_before_it_was_quoted_is_counted_by_its_cid(database: Database) -> None:
    paid = (
        bare_payment(TXID, ROOT, first_seen=NOW),
        bare_payment(OTHER_TXID, ROOT, name=NameBytes(b"again"), first_seen=NOW),
        bare_payment(Txid("cc" * 32), OTHER, first_seen=NOW),
        bare_payment(Txid("dd" * 32), Root(b""), first_seen=NOW),  # money that names no CID
    )
    offered = (quote("q1", ROOT, issued=LATER),)  # as is done for what somebody paid for unasked
    owed = (pin(ROOT), pin(ROOT, name=NameBytes(b"again")), pin(OTHER))
    dust = (bare_payment(Txid("ee" * 32), Root(b"a CID without a pin"), first_seen=NOW),)
    assert await SqlBooks(database).commit(Change(pins=owed, quotes=offered, payments=paid + dust))
    assert await paid_and_never_quoted(database) == 2


async def test_a_payment_that_left_the_mempool_is_none(database: Database) -> None:
    paid = (bare_payment(TXID, ROOT, gone=True), bare_payment(OTHER_TXID, OTHER, gone=True))
    assert await SqlBooks(database).commit(Change(pins=(pin(ROOT), pin(OTHER)), payments=paid))
    assert await paid_and_never_quoted(database) == 0
