"""`pins`: everything that was paid for, how it stands, and money that bought nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.store import ask, timestamp
from pinning_worker.commands.telling import say_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.domain.payment import Payment
    from pinning_worker.domain.pin import Pin
    from pinning_worker.settings import StoreSettings

# The pin's lane of domain.pin.State, here as text so that --help needs no domain; a test holds the two together.
STATES = (
    "seen", "short", "confirmed", "pinned", "expiring", "credit", "suspended", "owed", "released", "vanished",
)  # fmt: skip
BLOCKED = "blocked"  # by the denylist; beneath it the pin has one of the states


@click.command()
@click.option(
    "--state", "states", multiple=True, type=click.Choice((*STATES, BLOCKED)), help="Only these; may be repeated."
)
@env_file_option
@json_option
def pins(states: tuple[str, ...], env_file: Path | None, as_json: bool) -> None:
    """List the pins: state, end, days left, name, CID, what was paid.

    Reads the store; the worker may run meanwhile. A pin is per (CID, name). "owed" is a liability: paid, but the
    content cannot be had. "blocked" is one that your denylist takes down: paid, kept on disk, served to nobody.
    Payments that name no CID are listed apart.

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
        payments = await books.all_payments()
        told = [
            _describe(pin, payments_of, now, is_blocked(pin.root) and pin.state in LIVE, is_aside(pin.root))
            for pin, payments_of in _joined(await books.all_pins(), payments)
        ]
        return {
            "pins": [pin for pin in told if not states or pin["state"] in states],
            "unassigned": [_payment(payment) for payment in payments if not payment.root],
        }

    from pinning_worker import __version__
    from pinning_worker.adapters.crash_file import read_crash_file
    from pinning_worker.domain.pin import LIVE
    from pinning_worker.steps.crashes import Crashes

    found = ask(settings, question)
    if as_json:
        say_json(found)
        return
    for pin in found["pins"]:
        click.echo(_line(pin))
    for payment in found["unassigned"]:
        click.echo(f"unassigned  {payment['amount']} swartz in {payment['txid']}, which names no CID")
    if not found["pins"] and not found["unassigned"]:
        click.echo("no pins" + (" in that state" if states else " yet"), err=True)


def _joined(wanted: Sequence[Pin], payments: Sequence[Payment]) -> list[tuple[Pin, list[Payment]]]:
    by_key: dict[tuple[bytes, bytes], list[Payment]] = {}
    for payment in payments:
        by_key.setdefault((payment.root, payment.name), []).append(payment)
    return [(pin, by_key.get((pin.root, pin.name), [])) for pin in wanted]


async def _blocked(settings: StoreSettings, books: SqlBooks) -> Callable[[bytes], bool]:
    """Whether the denylist, as it is now, takes a root down."""
    from pinning_worker.settings.denylist import DenylistFile
    from pinning_worker.steps.takedown import TakeDown

    takedown = TakeDown(books)
    await takedown.apply(DenylistFile(settings.denylist_file).read())
    return takedown.is_blocked


def _describe(pin: Pin, payments: list[Payment], now: datetime, is_blocked: bool, is_aside: bool) -> dict[str, Any]:
    from pinning_worker.domain.name_row import name_text
    from pinning_worker.domain.pricing import remaining_days

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


def _line(pin: dict[str, Any]) -> str:
    ends = f"{pin['ends'][:10]} ({pin['remainingDays']} d)" if pin["ends"] else "-"
    reason = f"  {pin['reason']}" if pin["reason"] else ""
    reason += "  SET ASIDE: see `pinning-worker retry --help`" if pin["setAside"] else ""
    return f"{pin['state']:<10} {ends:<19} {pin['paid']:>12} swartz  {pin['name']}  {pin['cid']}{reason}"
