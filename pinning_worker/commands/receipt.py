"""`receipt show` and `receipt verify`: what a payment bought, signed by the worker, with the proof of the payment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.store import ask_database
from pinning_worker.commands.strangers_text import printable, typed_name
from pinning_worker.commands.telling import ExitCode, Told, say_json

if TYPE_CHECKING:
    from pinning_worker.adapters.sql.database import Database
    from pinning_worker.domain.content.cid import Cid
    from pinning_worker.domain.money.signed_receipt import SignedReceipt
    from pinning_worker.domain.receipt_check import Findings, HasBlock

_LARGEST = 2 * 1024 * 1024


@click.group()
def receipt() -> None:
    """Show the signed receipts of this worker, or verify one of any worker.

    \b
    Examples:
      pinning-worker receipt show bafy… art/1 --json > receipt.json
      pinning-worker receipt verify receipt.json
    """


@receipt.command()
@click.argument("cid")
@click.argument("name_or_txid")
@click.option("--cbor", "as_cbor", is_flag=True, help="Write the block of dag-cbor to standard output.")
@env_file_option
@json_option
def show(cid: str, name_or_txid: str, as_cbor: bool, env_file: Path | None, as_json: bool) -> None:
    """Show the signed receipt of a payment: of that transaction, or the last one of that name.

    Reads the store; the worker may run meanwhile. Ends with 3 when there is no such receipt. With --json it is the
    receipt itself, which `receipt verify` and others can verify.

    \b
    Examples:
      pinning-worker receipt show bafy… art/1
      pinning-worker receipt show bafy… art/1 --cbor > receipt.cbor
    """
    asked = _parse(cid)
    found = ask_database(store_settings(env_file), lambda database: _find(database, asked, name_or_txid))
    if found is None:
        raise Told(f"there is no signed receipt for {cid} and {name_or_txid}", ExitCode.NOT_FOUND)
    if as_cbor:
        click.echo(found.encode(), nl=False)
    elif as_json:
        say_json(found.fields())
    else:
        _say(found)


@receipt.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--headers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder with the file of headers; the worker's data directory, unless it is given.",
)
@env_file_option
@json_option
def verify(file: BinaryIO, headers: Path | None, env_file: Path | None, as_json: bool) -> None:
    """Verify a signed receipt, and say what is proven and what is only claimed.

    FILE is the block of dag-cbor or JSON; - reads standard input. Nothing is asked of anybody: the block of the payment
    is looked for in the headers that a worker has verified and stored. Ends with 65 for a receipt that does not hold.

    \b
    Examples:
      pinning-worker receipt verify receipt.json
      pinning-worker receipt verify receipt.cbor --headers /srv/pinning --json
    """
    from pinning_worker.domain.money.signed_receipt import BadReceipt, read_receipt
    from pinning_worker.domain.receipt_check import check_receipt

    try:
        read = read_receipt(file.read(_LARGEST))
    except BadReceipt as error:
        raise Told(f"refused: {error}", ExitCode.REFUSED) from error
    folder = headers or store_settings(env_file).data_dir
    found = check_receipt(read, _stored_headers(folder, read.purchase.network))
    if found.refused:
        raise Told("refused: " + "; ".join(found.refused), ExitCode.REFUSED)
    if as_json:
        say_json({"cid": str(read.cid), "proven": found.proven, "claimed": found.claimed})
    else:
        _say(read)
        _say_findings(found)


async def _find(database: Database, asked: Cid, name_or_txid: str) -> SignedReceipt | None:
    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.signed_receipts import SqlSignedReceipts
    from pinning_worker.domain.content.cid import cid_text
    from pinning_worker.domain.identities import Txid
    from pinning_worker.domain.money.payment import in_chain_order
    from pinning_worker.domain.money.receipt import receipt_key
    from pinning_worker.domain.money.signed_receipt import read_receipt
    from pinning_worker.domain.topic.name_row import name_text

    books, signed, cid = SqlBooks(database), await SqlSignedReceipts.open(database), cid_text(asked.key)
    txids = [Txid(name_or_txid)] if name_or_txid.isascii() else []
    for pin in await books.pins_of(asked.key):
        if name_or_txid == name_text(pin.name) or typed_name(name_or_txid) == pin.name:
            txids += [payment.txid for payment in in_chain_order(await books.payments_of(pin.key))]
    for txid in reversed(txids):
        if (block := await signed.get(receipt_key(cid, txid))) is not None:
            return read_receipt(block)
    return None


def _stored_headers(folder: Path, network: str) -> HasBlock:
    """Raises Told for a network that we do not know."""
    from pinning_worker.adapters.electrum.header_file import HeaderFile
    from pinning_worker.domain.chain.networks import NETWORKS
    from pinning_worker.logs import configure_logs

    if network not in NETWORKS:
        raise Told(f"refused: no network is called {network!r}", ExitCode.REFUSED)
    configure_logs("error", "console")
    chain = HeaderFile(folder, NETWORKS[network]).load()

    def has_block(height: int, block_hash: str) -> bool | None:
        if chain is None or not chain.has(height):
            return None
        return chain.hash_at(height) == block_hash

    return has_block


def _parse(text: str) -> Cid:
    from pinning_worker.domain.content.cid import BadCid, parse_cid

    try:
        return parse_cid(text)
    except BadCid:
        raise click.BadParameter(f"{text} is not a CID", param_hint="CID") from None


def _say(found: SignedReceipt) -> None:
    from pinning_worker.domain.moment import date_text

    bought = found.purchase
    click.echo(
        f"{found.cid}\n"
        f"  {bought.cid}  {printable(bought.name_id)}\n"
        f"  {bought.size} bytes in {bought.blocks} blocks, kept from {date_text(bought.starts)} to "
        f"{date_text(bought.ends)}\n"
        f"  {bought.months} month{'s' if bought.months > 1 else ''} for {bought.amount.amount} swartz "
        f"({bought.amount}), paid by {bought.txid} in block {bought.height}\n"
        f"  quote {printable(bought.quote) or 'unknown'}, tariff {bought.tariff} ({bought.tariff_hash}), "
        f"worker {bought.worker}"
    )


def _say_findings(found: Findings) -> None:
    for title, lines in (("Proven:", found.proven), ("Only claimed, by the signature:", found.claimed)):
        click.echo(title)
        for line in lines:
            click.echo(f"  - {line}")
