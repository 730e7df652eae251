"""`tariff`: the log of prices in the books; `tariff set` and `tariff strike` change it while the worker runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.store import ask, change_books, timestamp
from pinning_worker.commands.telling import ExitCode, Told, say_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.domain.money.tariff import Tariff, TariffLog
    from pinning_worker.settings import StoreSettings
    from pinning_worker.steps.tariffs import Prices

MIB = 1_048_576
SAMPLES = (("a picture", MIB), ("an album", 20 * MIB), ("a film", 1024 * MIB))  # closures to show prices of
MOST_PRICE = 10**12  # swartz: eight months of a TiB still fit into 64 bits

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def tariff() -> None:
    """Show and change the prices.

    The settings give the first tariff. Afterwards the books have the prices: a log that only grows. A tariff is quoted
    until the next one begins, and honoured for 31 days longer. Nothing is backdated.

    \b
    Examples:
      pinning-worker tariff show
      pinning-worker tariff set --price 800000 --least 1200000
    """


@tariff.command()
@env_file_option
@json_option
def show(env_file: Path | None, as_json: bool) -> None:
    """List the tariffs: number, since when, price, least fee, until when it is honoured, hash.

    Reads the store; the worker may run meanwhile. The price is swartz for a MiB and month, the least fee swartz for
    each eight months begun. "derived" is reckoned from the quotes of a version without tariffs; "struck" was taken back
    before any quote named it. Each quote carries its tariff's number and hash.

    \b
    Examples:
      pinning-worker tariff show
      pinning-worker tariff show --json | jq '.tariffs[] | select(.quoted)'
    """

    async def question(books: SqlBooks, now: datetime) -> list[dict[str, Any]]:
        return _describe(await books.tariffs(), now)

    found = ask(store_settings(env_file), question)
    if as_json:
        say_json({"tariffs": found})
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("no tariff yet: the first start of the worker writes it, from the settings", err=True)


@tariff.command("set")
@click.option("--price", required=True, type=click.IntRange(0, MOST_PRICE), help="Swartz for a MiB and month.")
@click.option("--least", required=True, type=click.IntRange(1, MOST_PRICE), help="Least fee, for each eight months.")
@yes_option
@env_file_option
@json_option
def set_(price: int, least: int, yes: bool, env_file: Path | None, as_json: bool) -> None:
    """Set the prices of new quotes, from now on.

    Shows what three sample contents cost now and then, and asks. A running worker takes the tariff at its next quote,
    without a restart. A cut reaches everybody at once. A rise binds nobody for 31 days, and a price that is too low is
    honoured as long, unless it is struck before a quote has named it. Ends with 65 if the answer is no.

    \b
    Examples:
      pinning-worker tariff set --price 800000 --least 1200000
      pinning-worker tariff set --price 800000 --least 1200000 --yes --json
    """
    from pinning_worker.domain.money.swartz import Swartz
    from pinning_worker.settings.fields import LEAST_OUTPUT
    from pinning_worker.steps.tariffs import Prices

    if least < LEAST_OUTPUT.amount:
        raise click.BadParameter(f"must be at least {LEAST_OUTPUT.amount}: no node relays a smaller output")
    settings, prices = store_settings(env_file), Prices(Swartz(price), Swartz(least))
    quoted = ask(settings, _quoted)
    if (quoted.per_mib_month, quoted.least) == (prices.per_mib_month, prices.least):
        _tell_set(quoted, False, as_json)
        return
    for line in _comparison(quoted, prices):
        click.echo(line, err=True)
    confirm("Quote these prices from now on?", yes)

    async def append(books: SqlBooks, now: datetime) -> Tariff:
        await _require_all_known(books, settings)
        return await _append(books, prices, now)

    _tell_set(change_books(settings, append), True, as_json)


@tariff.command()
@click.argument("number", type=click.IntRange(min=1))
@yes_option
@env_file_option
@json_option
def strike(number: int, yes: bool, env_file: Path | None, as_json: bool) -> None:
    """Take back the last tariff, while no quote has named it.

    It stays in the log as struck, and the one before it is quoted again. Ends with 65 if it may not be struck: it is
    not the last, it is the first, or a quote has named it (then set another, and honour it for its notice).

    \b
    Example:
      pinning-worker tariff strike 3
    """
    settings = store_settings(env_file)
    confirm(f"Strike tariff {number}?", yes)
    quoted = change_books(settings, lambda books, now: _strike(books, number, now))
    if as_json:
        say_json({"struck": number, "quoted": quoted.number})
        return
    click.echo(f"tariff {number} is struck; tariff {quoted.number} is quoted again")


def confirm(question: str, yes: bool) -> None:
    """Asks on standard error. Raises Told for any answer but yes."""
    try:
        if yes or click.confirm(question, err=True):
            return
    except click.Abort:  # no terminal, and nothing to read
        click.echo(err=True)
    raise Told("nothing was changed: answer y, or say --yes", ExitCode.REFUSED)


async def _quoted(books: SqlBooks, now: datetime) -> Tariff:
    from pinning_worker.domain.money.tariff import quoted_at
    from pinning_worker.steps.tariffs import has_begun

    log = await books.tariffs()
    if not has_begun(log):
        raise Told("the first start of the worker writes the first tariff, from the settings", ExitCode.REFUSED)
    return quoted_at(now, log)


async def _require_all_known(books: SqlBooks, settings: StoreSettings) -> None:
    """Raises Told if the database has lost a tariff: the next one would take its number, which quotes may name. Looks
    twice, because another `tariff set` writes beside the blocks first, and into the database a moment later."""
    import trio

    from pinning_worker.adapters.blocks.tariff_journal import JOURNAL, read_tariffs
    from pinning_worker.wiring.stores import BLOCKS_FOLDER

    folder = settings.data_dir / BLOCKS_FOLDER
    for pause in (1, 0):
        if len(read_tariffs(folder)) <= len(await books.tariffs()):
            return
        await trio.sleep(pause)
    raise Told(
        f"{folder / JOURNAL} knows more than the database: restart the worker, which takes it over", ExitCode.REFUSED
    )


async def _append(books: SqlBooks, prices: Prices, now: datetime) -> Tariff:
    from pinning_worker.steps.tariffs import next_tariff

    new = next_tariff(await books.tariffs(), prices, now)
    if not await books.add_tariff(new):
        raise Told("another tariff was set at the same moment: look at `tariff show`", ExitCode.REFUSED)
    return new


async def _strike(books: SqlBooks, number: int, now: datetime) -> Tariff:
    from pinning_worker.domain.money.tariff import quoted_at

    if not await books.strike_tariff(number):
        raise Told(_why_not(number, await books.tariffs()), ExitCode.REFUSED)
    return quoted_at(now, await books.tariffs())


def _why_not(number: int, log: TariffLog) -> str:
    if number > len(log):
        return f"there is no tariff {number}"
    if log[number - 1].struck:
        return f"tariff {number} is struck already"
    if number < len(log):
        return f"tariff {number} is not the last: others followed it"
    if number == 1:
        return "the first tariff stays: without it nothing could be quoted"
    return f"a quote has named tariff {number}, or a payment came since: it is honoured for its notice. Set another one"


def _tell_set(new: Tariff, changed: bool, as_json: bool) -> None:
    if as_json:
        say_json({"changed": changed, "number": new.number, "since": timestamp(new.since), "hash": new.hash})
    elif changed:
        click.echo(f"tariff {new.number} is quoted from {timestamp(new.since)} on; hash {new.hash}")
    else:
        click.echo(f"tariff {new.number} has these prices already; nothing was changed")


def _comparison(quoted: Tariff, prices: Prices) -> Sequence[str]:
    """A line for each sample, in swartz."""
    from dataclasses import replace

    from pinning_worker.domain.money.tariff import fee

    then = replace(quoted, per_mib_month=prices.per_mib_month, least=prices.least)
    return [
        f"{name:<10} {size // MIB:>5} MiB, {months} month{'s' if months > 1 else ' '}  "
        f"now {fee(quoted, size, months).amount:>14}  then {fee(then, size, months).amount:>14} swartz"
        for name, size in SAMPLES
        for months in (1, 8)
    ]


def _describe(log: TariffLog, now: datetime) -> list[dict[str, Any]]:
    from pinning_worker.domain.money.tariff import honoured_until, quoted_at

    quoted = quoted_at(now, log).number if log else 0
    return [
        {
            "number": one.number,
            "since": timestamp(one.since),
            "perMibMonth": one.per_mib_month.amount,
            "least": one.least.amount,
            "honouredUntil": timestamp(honoured_until(one, log)),
            "measure": one.measure,
            "hash": one.hash,
            "quoted": one.number == quoted,
            "struck": one.struck,
            "derived": one.is_derived,
        }
        for one in log
    ]


def _line(one: dict[str, Any]) -> str:
    words = [word for word in ("quoted", "struck", "derived") if one[word]]
    until = "" if one["struck"] else f"honoured until {one['honouredUntil'] or 'the next one, and its notice'}"
    return (
        f"{one['number']:>3}  since {one['since']}  {one['perMibMonth']:>10} swartz/MiB/month  "
        f"least {one['least']:>10}  {one['hash'][:16]}  {', '.join([*words, *([until] if until else [])])}"
    )
