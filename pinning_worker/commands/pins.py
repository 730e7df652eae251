"""`pins`: lists the pins with their states, and money that bought nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.store import ask, timestamp
from pinning_worker.commands.strangers_text import printable
from pinning_worker.commands.telling import say_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.domain.content.cid import Root
    from pinning_worker.domain.identities import NameBytes
    from pinning_worker.domain.money.payment import Payment
    from pinning_worker.domain.pin import Pin
    from pinning_worker.settings import StoreSettings

# The pin's lane of domain.pin.State, here as text so that --help needs no domain; a test holds the two together.
STATES = (
    "seen", "short", "confirmed", "pinned", "expiring", "credit", "suspended", "owed", "released", "vanished",
)  # fmt: skip
MOST_UNASSIGNED = 20  # payments without a pin to show one by one
BLOCKED = "blocked"  # by the denylist, shown instead of the pin's state


@click.command()
@click.option(
    "--state", "states", multiple=True, type=click.Choice((*STATES, BLOCKED)), help="Only these; may be repeated."
)
@env_file_option
@json_option
def pins(states: tuple[str, ...], env_file: Path | None, as_json: bool) -> None:
    """List the pins: state, end, days left, name, CID, amount paid.

    Reads the store; the worker may run meanwhile. A pin is per (CID, name). "owed" is a liability: paid, but the
    content cannot be had. "blocked" is one that your denylist takes down: paid, kept on disk, served to nobody.
    Payments that belong to no pin are listed apart: they name no CID, or bring less than the least fee for a CID that
    was never quoted.

    \b
    Examples:
      pinning-worker pins
      pinning-worker pins --state owed --state suspended
      pinning-worker pins --json | jq '.pins[] | select(.remainingDays < 30) | .name'
    """

    settings = store_settings(env_file)

    async def question(books: SqlBooks, now: datetime) -> dict[str, Any]:
        is_blocked = await _blocked(settings, books)
        is_aside = Crashes(read_crash_file(settings.data_dir, __version__)).is_aside
        payments, pins_there = await books.all_payments(), await books.all_pins()
        told = [
            _describe(pin, payments_of, now, is_blocked(pin.root) and pin.state in LIVE, is_aside(pin.root))
            for pin, payments_of in _joined(pins_there, payments)
        ]
        return {
            "pins": [pin for pin in told if not states or pin["state"] in states],
            "unassigned": [_stray(payment) for payment in _without_pin(payments, pins_there)],
        }

    from pinning_worker import __version__
    from pinning_worker.adapters.machine.crash_file import read_crash_file
    from pinning_worker.domain.pin import LIVE
    from pinning_worker.steps.crashes import Crashes

    found = ask(settings, question)
    if as_json:
        say_json(found)
        return
    for pin in found["pins"]:
        click.echo(_line(pin))
    for line in _unassigned_lines(found["unassigned"]):
        click.echo(line)
    if not found["pins"] and not found["unassigned"]:
        click.echo("no pins" + (" in that state" if states else " yet"), err=True)


def _joined(wanted: Sequence[Pin], payments: Sequence[Payment]) -> list[tuple[Pin, list[Payment]]]:
    by_key: dict[tuple[Root, NameBytes], list[Payment]] = {}
    for payment in payments:
        by_key.setdefault((payment.root, payment.name), []).append(payment)
    return [(pin, by_key.get((pin.root, pin.name), [])) for pin in wanted]


def _without_pin(payments: Sequence[Payment], there: Sequence[Pin]) -> list[Payment]:
    """Those that were refunded whole are left out."""
    keys = {(pin.root, pin.name) for pin in there}
    return [payment for payment in payments if (payment.root, payment.name) not in keys and payment.amount]


def _unassigned_lines(strays: list[dict[str, Any]]) -> list[str]:
    """A line for each of the first MOST_UNASSIGNED: such payments are cheap, and a stranger may send ten thousand."""
    lines = [
        f"unassigned  {stray['amount']} swartz in {stray['txid']}, "
        + (f"for {stray['cid']}, which nobody was quoted" if stray["cid"] else "which names no CID")
        for stray in strays[:MOST_UNASSIGNED]
    ]
    rest = strays[MOST_UNASSIGNED:]
    total = sum(stray["amount"] for stray in rest)
    return [*lines, *([f"unassigned  {total} swartz in {len(rest)} more: see --json"] if rest else [])]


async def _blocked(settings: StoreSettings, books: SqlBooks) -> Callable[[Root], bool]:
    """Whether the denylist, as it is now, takes a root down."""
    from pinning_worker.settings.denylist import DenylistFile
    from pinning_worker.steps.takedown import TakeDown

    takedown = TakeDown(books)
    await takedown.apply(DenylistFile(settings.denylist_file).read())
    return takedown.is_blocked


def _describe(pin: Pin, payments: list[Payment], now: datetime, is_blocked: bool, is_aside: bool) -> dict[str, Any]:
    from pinning_worker.domain.money.pricing import remaining_days
    from pinning_worker.domain.topic.name_row import name_text

    return {
        "cid": pin.cid_text,
        "name": name_text(pin.name),
        "state": BLOCKED if is_blocked else pin.state.value,
        "beneath": pin.state.value if is_blocked else None,
        "starts": timestamp(pin.starts),
        "ends": timestamp(pin.ends),
        "remainingDays": remaining_days(pin.ends, now) if pin.ends else None,
        "reason": pin.reason,
        "setAside": is_aside,
        "paid": sum(payment.amount.amount for payment in payments if payment.proof is not None),
        "payments": [_payment(payment) for payment in payments],
    }


def _payment(payment: Payment) -> dict[str, Any]:
    return {
        "txid": payment.txid,
        "amount": payment.amount.amount,
        "height": payment.proof.height if payment.proof else None,
        "settled": payment.settled,
        "gone": payment.gone,
        "firstSeen": timestamp(payment.first_seen),
    }


def _stray(payment: Payment) -> dict[str, Any]:
    return {**_payment(payment), "cid": payment.cid_text or None}


def _line(pin: dict[str, Any]) -> str:
    ends = f"{pin['ends'][:10]} ({pin['remainingDays']} d)" if pin["ends"] else "-"
    reason = f"  {printable(pin['reason'])}" if pin["reason"] else ""
    reason += "  SET ASIDE: see `pinning-worker retry --help`" if pin["setAside"] else ""
    return f"{pin['state']:<10} {ends:<19} {pin['paid']:>12} swartz  {printable(pin['name'])}  {pin['cid']}{reason}"
