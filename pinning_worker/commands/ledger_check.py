"""`ledger check`: proves the books from the bytes kept with them; with --chain, compares them with servers anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, worker_settings
from pinning_worker.commands.store import ask_database
from pinning_worker.commands.telling import ExitCode, Told, say_json

if TYPE_CHECKING:
    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.database import Database
    from pinning_worker.domain.chain.networks import Network
    from pinning_worker.domain.identities import Script
    from pinning_worker.domain.ledger_check import Checked, HasBlock, Shown
    from pinning_worker.domain.money.payment import Payment
    from pinning_worker.settings import Settings
    from pinning_worker.steps.ledger import Ledger

MOST_SHOWN = 20


@click.command()
@click.option("--chain", "against_servers", is_flag=True, help="Also compare with every Electrum server, anew.")
@env_file_option
@json_option
def check(against_servers: bool, env_file: Path | None, as_json: bool) -> None:
    """Prove that the money in the books is the money in the chain, and that it adds up.

    Each payment that counts is proven from what is kept with it, and nothing else: its transaction has that txid, those
    outputs, CID and name; its merkle branch leads to its header; the header is in the chain that the worker verified.
    Then the sums are added up. Reads only; the worker may run meanwhile. With --chain every server is asked which
    transactions paid the worker's addresses. Ends with 65 if anything contradicts the books, and with 69 if something
    cannot be proven yet, or no server answers.

    \b
    Examples:
      pinning-worker ledger check
      pinning-worker ledger check --chain --json | jq .faults
    """
    settings = worker_settings(env_file)
    found = ask_database(settings, lambda database: _check(settings, database))
    if against_servers:
        _compare(settings, found)
    if as_json:
        say_json(_as_json(found))
    else:
        for line in _lines(found):
            click.echo(line)
    if found.faults:
        raise Told(f"the books do not hold: {len(found.faults)} faults", ExitCode.REFUSED)
    if found.differences:
        raise Told("the books hold, and a server shows otherwise", ExitCode.REFUSED)
    if found.unproven or (against_servers and not found.servers):
        raise Told("not all of it is proven yet", ExitCode.UNAVAILABLE)


@dataclass(slots=True)
class _Found:
    """`servers`: those that answered, `silent`: the faults of the others, `differences`: what they show otherwise."""

    ledger: Ledger
    network: Network
    scripts: set[Script]
    faults: list[str]
    unproven: list[str]
    proven: int
    by_address: dict[str, int]
    totals: dict[str, int]
    servers: list[str]
    silent: list[str]
    differences: list[str]

    @property
    def counting(self) -> list[Payment]:
        return [payment for payment in self.ledger.payments if payment.txid in self.ledger.counting]


async def _check(settings: Settings, database: Database) -> _Found:
    from pinning_worker.adapters.machine.clock import SystemClock
    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.name_index import SqlNameIndex
    from pinning_worker.domain.money.statement import adds_up, statement, total
    from pinning_worker.steps.ledger import read_ledger
    from pinning_worker.wiring.chain import network_followed

    books, now = SqlBooks(database), SystemClock(settings.clock_offset_file).now()
    ledger = await read_ledger(books, now)
    scripts = set(settings.payment_scripts) | await books.scripts_in_use(now)
    network = await network_followed(settings, books, SqlNameIndex(database))
    sums = total(statement(ledger.holdings.values(), ledger.entries, now))
    totals = {kind.value: amount.amount for kind, amount in sums.items()}
    found = _Found(ledger, network, scripts, [], [], 0, {}, totals, [], [], [])
    if not adds_up(sums):
        found.faults.append("the sums do not agree: received is not what became of it")
    await _check_payments(books, found, _stored_headers(settings, network))
    return found


async def _check_payments(books: SqlBooks, found: _Found, has_block: HasBlock) -> None:
    from pinning_worker.domain.ledger_check import check_payment

    for payment in found.counting:
        kept = await books.payment_proof(payment.txid)
        _note(found, payment, check_payment(payment, kept, found.ledger.entries, found.scripts, has_block))


def _note(found: _Found, payment: Payment, checked: Checked) -> None:
    from pinning_worker.domain.chain.address import script_to_address

    if checked.fault:
        found.faults.append(f"{payment.txid}: {checked.fault}")
    elif checked.unproven:
        found.unproven.append(f"{payment.txid}: {checked.unproven}")
    else:
        found.proven += 1
    for script, amount in checked.by_script.items():
        address = script_to_address(script, found.network) or script.hex()
        found.by_address[address] = found.by_address.get(address, 0) + amount.amount


def _stored_headers(settings: Settings, network: Network) -> HasBlock:
    from pinning_worker.adapters.electrum.header_file import HeaderFile

    chain = HeaderFile(settings.data_dir, network).load()

    def has_block(height: int, block_hash: str) -> bool | None:
        if chain is None or not chain.has(height):
            return None
        return chain.hash_at(height) == block_hash

    return has_block


def _compare(settings: Settings, found: _Found) -> None:
    """Adds the differences between the books and each server."""
    import trio

    from pinning_worker.adapters.electrum.endpoint import parse_server_url
    from pinning_worker.adapters.electrum.histories import HistoryReader
    from pinning_worker.adapters.electrum.patience import Patience
    from pinning_worker.domain.ledger_check import differences

    known = {payment.txid for payment in found.ledger.payments}
    reader = HistoryReader(found.network, Patience(answer_seconds=30.0), found.scripts, known)
    endpoints = [parse_server_url(url) for url in settings.electrum_servers]
    answers: list[Shown | str] = trio.run(reader.read_all, endpoints)
    for answer in answers:
        if isinstance(answer, str):
            found.silent.append(answer)
            continue
        found.servers.append(answer.server)
        found.differences += differences(found.counting, answer)


def _as_json(found: _Found) -> dict[str, Any]:
    return {
        "holds": not found.faults,
        "payments": len(found.counting),
        "proven": found.proven,
        "faults": found.faults,
        "unproven": found.unproven,
        "total": found.totals,
        "receivedByAddress": found.by_address,
        "servers": found.servers,
        "differences": found.differences,
        "silent": found.silent,
    }


def _lines(found: _Found) -> list[str]:
    uses = " + ".join(f"{amount} {kind}" for kind, amount in found.totals.items() if kind != "received")
    return [
        *_some("! ", found.faults),
        *_some("? ", found.unproven),
        f"{found.proven} of {len(found.counting)} payments are proven from headers, merkle branches and transactions",
        f"received {found.totals['received']} = {uses}",
        *(f"{amount:>18} to {address}" for address, amount in sorted(found.by_address.items())),
        *(f"{server} was compared" for server in found.servers),
        *_some("! ", found.differences),
        *(f"? {words}" for words in found.silent),
    ]


def _some(mark: str, sentences: list[str]) -> list[str]:
    rest = len(sentences) - MOST_SHOWN
    more = [f"{mark}and {rest} more: see --json"] if rest > 0 else []
    return [*(mark + each for each in sentences[:MOST_SHOWN]), *more]
