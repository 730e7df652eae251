"""`ledger`: the operator's statement. `summary` on one screen, `payments` one by one, `show` for one transaction.

`ledger_statement.py` and `ledger_payments.py` describe what these print; `ledger_entries.py` records, and
`ledger_check.py` proves.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.ledger_check import check
from pinning_worker.commands.ledger_entries import assign, close, parsed_txid, refund
from pinning_worker.commands.ledger_payments import describe_all, describe_judged, judged_lines, payment_line
from pinning_worker.commands.ledger_statement import GROUPS, describe, group_lines, summary_lines
from pinning_worker.commands.store import ask
from pinning_worker.commands.strangers_text import printable
from pinning_worker.commands.telling import ExitCode, Told, say_json

# A spreadsheet would run a cell that begins so, and strangers choose names. Where the comma is the decimal sign, a
# spreadsheet begins a new cell after a semicolon, quoted or not.
_FORMULA = re.compile(r"(^|;)(?=[\s\"]*[=+\-@＝＋－＠])")

csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
by_option = click.option("--by", type=click.Choice(GROUPS), help="A line for each, not one sum. CSV: by account.")


@click.group(invoke_without_command=True)
@by_option
@csv_option
@env_file_option
@json_option
@click.pass_context
def ledger(context: click.Context, by: str | None, as_csv: bool, env_file: Path | None, as_json: bool) -> None:
    """Show the books: what was received, and what became of it. Alone it is `ledger summary`.

    Amounts are swartz: 100000000 are one DOI.

    \b
    Examples:
      pinning-worker ledger
      pinning-worker ledger --by period
      pinning-worker ledger payments --csv > payments.csv
    """
    if context.invoked_subcommand is None:
        _summary(by, as_csv, env_file, as_json)


@ledger.command()
@by_option
@csv_option
@env_file_option
@json_option
def summary(by: str | None, as_csv: bool, env_file: Path | None, as_json: bool) -> None:
    """Show every received swartz as earned, unearned, credit, owed, refunded or closed.

    Reads the store; the worker may run meanwhile. A purchase is earned evenly over its time; the rest is unearned. Of
    content that is not here everything is owed. Checks that the sums agree, and ends with 65 if they do not. "period"
    is the month (UTC) of the block, of the delivery, or of the refund; unearned money stands in months to come.

    \b
    Examples:
      pinning-worker ledger summary
      pinning-worker ledger summary --by period --csv
      pinning-worker ledger summary --json | jq '.total.earned, .liabilities'
    """
    _summary(by, as_csv, env_file, as_json)


@ledger.command()
@csv_option
@env_file_option
@json_option
def payments(as_csv: bool, env_file: Path | None, as_json: bool) -> None:
    """List the payments in the order of the chain, and what each bought.

    Reads the store; the worker may run meanwhile. Those without a block come last.

    \b
    Examples:
      pinning-worker ledger payments
      pinning-worker ledger payments --json | jq '.payments[] | select(.months == 0)'
    """
    found = ask(store_settings(env_file), describe_all)
    if as_json:
        say_json({"payments": found})
    elif as_csv:
        _say_csv(found)
    else:
        for one in found:
            click.echo(payment_line(one))


@ledger.command()
@click.argument("txid")
@env_file_option
@json_option
def show(txid: str, env_file: Path | None, as_json: bool) -> None:
    """Show how one payment was judged.

    Its block, the tariffs that were honoured then, the rate that they gave for this content, what it bought, what
    became credit, and what was refunded. Ends with 3 if the books have no such payment.

    \b
    Example:
      pinning-worker ledger show 3f0c… --json
    """
    wanted = parsed_txid(txid, "TXID")
    found = ask(store_settings(env_file), lambda books, now: describe_judged(books, wanted, now))
    if found is None:
        raise Told(f"the books have no payment {txid}", ExitCode.NOT_FOUND)
    if as_json:
        say_json(found)
        return
    for line in judged_lines(found):
        click.echo(line)


for command in (assign, refund, close, check):
    ledger.add_command(command)


def _summary(by: str | None, as_csv: bool, env_file: Path | None, as_json: bool) -> None:
    found = ask(store_settings(env_file), describe)
    if as_json:
        say_json(found)
    elif as_csv:
        _say_csv(found["by"][by or GROUPS[0]])
    elif by:
        for line in group_lines(by, found["by"][by]):
            click.echo(line)
    else:
        for line in summary_lines(found):
            click.echo(line)
    if not found["addsUp"]:
        raise Told("THE SUMS DO NOT AGREE: please report it, with `ledger payments --json`", ExitCode.REFUSED)


def _say_csv(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    writer = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])


def _cell(value: object) -> object:
    return _FORMULA.sub(r"\1'", printable(value)) if isinstance(value, str) else value
