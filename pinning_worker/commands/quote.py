"""`quote CID`: shows the quotes for a CID, and the state of its request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.store import ask, timestamp
from pinning_worker.commands.strangers_text import printable
from pinning_worker.commands.telling import ExitCode, Told, say_json

if TYPE_CHECKING:
    from datetime import datetime

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.domain.content.cid import Cid
    from pinning_worker.domain.money.pricing import Quote


@click.command()
@click.argument("cid")
@click.option("--all", "lapsed_too", is_flag=True, help="Also the quotes that have lapsed.")
@env_file_option
@json_option
def quote(cid: str, lapsed_too: bool, env_file: Path | None, as_json: bool) -> None:
    """Show how a request stands, and its quotes that can be paid now.

    Reads the store; the worker may run meanwhile. The CID may be written in any version and base. Ends with 3 when
    nobody ever asked for it. Amounts are swartz: 100000000 are one DOI.

    \b
    Examples:
      pinning-worker quote QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR
      pinning-worker quote bafy… --json | jq '.quotes[0].amount'
    """
    asked = _parse(cid)

    async def question(books: SqlBooks, now: datetime) -> dict[str, Any] | None:
        request, quotes = await books.request(asked.key), await books.quotes(asked.key)
        if request is None and not quotes:
            return None
        told = [_describe(one, now) for one in quotes if lapsed_too or one.is_live(now)]
        state = request.state.value if request is not None else "unasked"
        return {"cid": cid, "state": state, "reason": request.reason if request is not None else "", "quotes": told}

    found = ask(store_settings(env_file), question)
    if found is None:
        raise Told(f"nothing is known of {cid}: nobody has asked this worker for it", ExitCode.NOT_FOUND)
    if as_json:
        say_json(found)
        return
    click.echo(f"{cid}  {found['state']}" + (f": {printable(found['reason'])}" if found["reason"] else ""))
    for one in found["quotes"]:
        click.echo(_sentence(one))
    if not found["quotes"]:
        click.echo("  no quote stands; a new NEW-CID gets one")


def _parse(text: str) -> Cid:
    from pinning_worker.domain.content.cid import BadCid, parse_cid

    try:
        return parse_cid(text)
    except BadCid:
        raise click.BadParameter(f"{text} is not a CID", param_hint="CID") from None


def _describe(one: Quote, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id,
        "months": one.months,
        "amount": one.amount.amount,
        "paymentAddress": one.payment_address,
        "network": one.network,
        "priceVersion": one.tariff,
        "tariff": one.tariff_hash,
        "bytes": {"metadata": one.sizes.metadata, "image": one.sizes.image, "total": one.sizes.total},
        "blocks": one.blocks,
        "issued": timestamp(one.issued),
        "expires": timestamp(one.expires),
        "live": one.is_live(now),
    }


def _sentence(one: dict[str, Any]) -> str:
    from pinning_worker.domain.content.sizes import human_size
    from pinning_worker.domain.money.swartz import Swartz

    until = "until" if one["live"] else "lapsed"
    return (
        f"  {one['months']} months for {one['amount']} swartz ({Swartz(one['amount'])}) to {one['paymentAddress']}, "
        f"{until} {one['expires']}; {human_size(one['bytes']['total'])} in {one['blocks']} blocks; quote {one['id']}"
    )
