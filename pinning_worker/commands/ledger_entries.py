"""`ledger assign`, `refund` and `close`: the operator's decisions about money, recorded for good."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.ledger_payments import describe_entry, entry_line
from pinning_worker.commands.store import change_books
from pinning_worker.commands.strangers_text import typed_name, typed_text
from pinning_worker.commands.telling import ExitCode, Told, say_json, telling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.domain.content.cid import Cid
    from pinning_worker.domain.identities import Txid
    from pinning_worker.domain.money.entry import Entry
    from pinning_worker.settings import StoreSettings
    from pinning_worker.steps.entering import Entering

reason_option = click.option("--reason", required=True, help="Why, in your words: it is kept with the entry.")


@click.command()
@click.argument("txid")
@click.argument("cid")
@click.argument("name")
@click.option("--reason", default="", help="Why, in your words: it is kept with the entry.")
@env_file_option
@json_option
def assign(txid: str, cid: str, name: str, reason: str, env_file: Path | None, as_json: bool) -> None:
    """Give a payment that names no CID to a CID and a name.

    For a plain transfer, as a wallet sends it that scanned the address only. From now on it is judged like a payment
    that named them: at the time of its own block. So it extends a term that ran then, and a term that it starts began
    then; refund a payment that came too long ago. A running worker judges it at the next block. An assignment stays.

    \b
    Example:
      pinning-worker ledger assign 3f0c… bafybei… art/1 --reason "her mail of 2 March"
    """
    wanted, about = parsed_txid(txid, "TXID"), _parsed_cid(cid)
    _record(
        store_settings(env_file),
        lambda entering: _alone(entering.assign(wanted, about.key, cid, typed_name(name), typed_text(reason))),
        as_json,
    )


@click.command()
@click.argument("txid")
@click.argument("refund_txid", metavar="TXID_OF_REFUND")
@click.option("--amount", type=click.IntRange(min=1), help="In swartz. Without: all of it that can be refunded.")
@reason_option
@env_file_option
@json_option
def refund(txid: str, refund_txid: str, amount: int | None, reason: str, env_file: Path | None, as_json: bool) -> None:
    """Record that you paid back a payment, or a part of it.

    Sends nothing: pay first, with your wallet, and name the transaction here. Money whose content is not here, or that
    belongs to no pin, can be refunded whole; of any other payment the part that is credit, for the rest bought months
    that stand. What is refunded buys nothing any more. An owed pin of which nothing is left is closed, and not tried
    any more. Ends with 65 if so much cannot be refunded, and records nothing then.

    \b
    Examples:
      pinning-worker ledger refund 3f0c… 77aa… --reason "content was never had"
      pinning-worker ledger refund 3f0c… 77aa… --amount 5000 --reason "her credit"
    """
    from pinning_worker.domain.money.swartz import Swartz

    wanted, back = parsed_txid(txid, "TXID"), parsed_txid(refund_txid, "TXID_OF_REFUND")
    if wanted == back:
        raise click.BadParameter(
            "is the payment itself: name the transaction that you sent", param_hint="TXID_OF_REFUND"
        )
    sum_, why = Swartz(amount) if amount is not None else None, _given(reason)
    _record(store_settings(env_file), lambda entering: _alone(entering.refund(wanted, back, sum_, why)), as_json)


@click.command()
@click.argument("cid")
@click.argument("name")
@reason_option
@env_file_option
@json_option
def close(cid: str, name: str, reason: str, env_file: Path | None, as_json: bool) -> None:
    """Give up what is owed for a CID and a name, without a refund.

    For a debt that nobody will ever claim: the content cannot be had, and the payer cannot be found. Also for a pin
    that is short. The money is listed as closed and buys nothing any more; the worker does not try it again. A later
    payment begins anew. Ends with 3 if there is no such pin, and with 65 if it is neither owed nor short.

    \b
    Example:
      pinning-worker ledger close bafybei… art/1 --reason "no answer since May"
    """
    from pinning_worker.domain.pin import PinKey

    key, why = PinKey(_parsed_cid(cid).key, typed_name(name)), _given(reason)
    _record(store_settings(env_file), lambda entering: entering.close(key, why), as_json)


async def _alone(entry: Awaitable[Entry]) -> Sequence[Entry]:
    return (await entry,)


def _record(settings: StoreSettings, work: Callable[[Entering], Awaitable[Sequence[Entry]]], as_json: bool) -> None:
    from pinning_worker.adapters.blocks.entry_journal import note_missing_entries, read_entries
    from pinning_worker.steps.entering import Entering, NotAllowed, NotInBooks
    from pinning_worker.wiring.stores import BLOCKS_FOLDER

    folder = settings.data_dir / BLOCKS_FOLDER

    async def record(books: SqlBooks, now: datetime) -> Sequence[Entry]:
        if len(read_entries(folder)) > len(await books.entries()):
            raise Told(
                f"{folder}/ledger.jsonl knows more than the database: restart the worker, which takes it over",
                ExitCode.REFUSED,
            )
        entries = await work(Entering(books, now))
        await note_missing_entries(await books.entries(), folder)
        return entries

    with telling({NotInBooks: ExitCode.NOT_FOUND, NotAllowed: ExitCode.REFUSED}):
        entries = [describe_entry(entry) for entry in change_books(settings, record)]
    if as_json:
        say_json({"entries": entries})
        return
    for one in entries:
        click.echo(entry_line(one))


def parsed_txid(text: str, hint: str) -> Txid:
    from pinning_worker.domain.identities import Txid

    if not re.fullmatch("[0-9a-f]{64}", text.lower()):
        raise click.BadParameter(f"{text} is not a txid: 64 digits of 0-9 and a-f", param_hint=hint)
    return Txid(text.lower())


def _given(reason: str) -> str:
    if not reason.strip():
        raise click.BadParameter("must not be empty: it is kept with the entry", param_hint="--reason")
    return typed_text(reason)


def _parsed_cid(text: str) -> Cid:
    from pinning_worker.domain.content.cid import BadCid, parse_cid

    try:
        return parse_cid(text)
    except BadCid:
        raise click.BadParameter(f"{text} is not a CID", param_hint="CID") from None
