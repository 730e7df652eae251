"""`pinning-worker ledger check`: a worker reads payments from a scripted server; then its books are checked without it,
and against servers that hide a payment, or know of another.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import update

from pinning_worker.adapters.sql.book_tables import payment_outputs, payment_proofs
from pinning_worker.adapters.sql.database import open_database
from pinning_worker.domain.chain.address import address_to_script
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.money.swartz import Swartz
from tests.adapters.electrum.scripted import STRANGER, Ledger, ScriptedServer, payment
from tests.adapters.stored_worker import database_url, ended
from tests.adapters.test_cli import ADDRESS, printed, settings, told
from tests.interop.worker import free_port, open_worker

pytestmark = pytest.mark.slow  # it starts the worker and the command, again and again

OURS = address_to_script(ADDRESS, DOICHAIN_REGTEST)
PAID = [payment(number, amount, OURS) for number, amount in ((1, 800), (2, 70))]


@asynccontextmanager
async def serving(ledger: Ledger) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(ledger)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        yield server
        nursery.cancel_scope.cancel()


async def worked(folder: Path, ledger: Ledger) -> None:
    """A worker reads the payments of that chain, and ends."""
    async with serving(ledger) as server:
        port = free_port()
        async with open_worker(folder, settings(port, PINNING_ELECTRUM_SERVERS=server.url)) as running:
            for paid in PAID:
                await running.logged(f"(?=.*payment.names_no_cid).*{paid.txid}")
            assert await running.stop() == 0


def chain() -> Ledger:
    """Two payments in the second block, and eight blocks on top."""
    ledger = Ledger()
    ledger.mine(count=1)
    ledger.mine(*PAID, count=9)
    return ledger


@pytest.fixture
async def books(tmp_path: Path) -> Path:
    await worked(tmp_path, chain())
    return tmp_path


async def checked(folder: Path, *arguments: str, **changed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await ended(folder, "ledger", "check", "--json", *arguments, **changed)).stdout)
    return found


async def test_books_are_proven_without_a_server(books: Path) -> None:
    found = await checked(books)
    assert (found["holds"], found["payments"], found["proven"], found["unproven"]) == (True, 2, 2, [])
    assert (found["total"]["received"], found["total"]["owed"]) == (870, 870)
    assert found["receivedByAddress"] == {ADDRESS: 870}
    lines = printed(await ended(books, "ledger", "check")).splitlines()
    assert lines[0] == "2 of 2 payments are proven from headers, merkle branches and transactions"
    assert lines[1].startswith("received 870 = 0 earned + 0 unearned + 0 credit + 870 owed")


async def change(folder: Path, statement: Any) -> None:
    async with open_database(database_url(folder)) as database:
        await database.write(lambda connection: connection.execute(statement))


async def test_an_amount_that_somebody_wrote_into_the_books_is_found(books: Path) -> None:
    forged = update(payment_outputs).where(payment_outputs.c.txid == PAID[1].txid).values(amount=Swartz(71))
    await change(books, forged)
    (fault,) = (await checked(books))["faults"]
    assert fault.startswith(f"{PAID[1].txid}: output 1 is booked with 71 swartz")
    refused = await ended(books, "ledger", "check")
    assert (refused.returncode, refused.stdout.startswith("! ")) == (65, True)
    assert "the books do not hold: 1 faults" in refused.stderr


async def test_a_proof_of_another_payment_is_none(books: Path) -> None:
    await change(books, update(payment_proofs).values(transaction_bytes=PAID[0].serialise_base()))
    (fault,) = (await checked(books))["faults"]
    assert fault == f"{PAID[1].txid}: the kept transaction is another one"


async def test_without_headers_nothing_is_proven_and_nothing_refused(books: Path) -> None:
    for file in (books / "data").glob("headers-*"):
        file.unlink()
    found = await checked(books)
    assert (found["holds"], found["proven"], len(found["unproven"])) == (True, 0, 2)
    assert (await ended(books, "ledger", "check")).returncode == 69


async def test_servers_are_compared_anew(books: Path) -> None:
    """One agrees, one hides a payment, one knows of another and of a transaction that only spends; one is not there."""
    honest, hiding, knowing = chain(), Ledger(), chain()
    hiding.mine(count=1)
    hiding.mine(PAID[0], count=9)
    knowing.mine(payment(3, 5, OURS), payment(4, 6, STRANGER))
    async with serving(honest) as one, serving(hiding) as two, serving(knowing) as three:
        good = await checked(books, "--chain", PINNING_ELECTRUM_SERVERS=one.url)
        assert (good["holds"], good["servers"], good["differences"], good["silent"]) == (True, [one.url], [], [])
        urls = f"{one.url},{two.url},{three.url},tcp://127.0.0.1:1"
        found = await checked(books, "--chain", PINNING_ELECTRUM_SERVERS=urls)
        text = await ended(books, "ledger", "check", "--chain", PINNING_ELECTRUM_SERVERS=urls)
        nobody = await ended(books, "ledger", "check", "--chain", PINNING_ELECTRUM_SERVERS="tcp://127.0.0.1:1")
    assert (found["holds"], found["servers"], len(found["silent"])) == (True, [one.url, two.url, three.url], 1)
    assert found["differences"] == [
        f"{PAID[1].txid} is booked in block 2, and {two.url} shows it in no block",
        f"{three.url} shows {payment(3, 5, OURS).txid}, which pays us 5 swartz, and the books do not have it",
    ]
    assert (text.returncode, nobody.returncode) == (65, 69)
    assert "the books hold, and a server shows otherwise" in text.stderr


async def test_it_needs_the_settings_of_the_worker(tmp_path: Path) -> None:
    assert "PINNING_PAYMENT_ADDRESS" in told(await ended(tmp_path, "ledger", "check", PINNING_PAYMENT_ADDRESS=""), 78)
