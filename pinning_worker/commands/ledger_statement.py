"""The operator's statement as data, and as lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinning_worker.commands.store import timestamp
from pinning_worker.commands.strangers_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.domain.money.statement import Kind, Liabilities, Posting
    from pinning_worker.domain.money.swartz import Swartz
    from pinning_worker.steps.ledger import Ledger

GROUPS = ("account", "name", "period", "tariff")
MONTHS_SHOWN = 6  # of the disk that terms need, for people; --json has them all


async def describe(books: SqlBooks, now: datetime) -> dict[str, Any]:
    from collections import Counter

    from pinning_worker.domain.money.statement import adds_up, least_fee_part, liabilities, statement, total
    from pinning_worker.steps.ledger import read_ledger

    read = await read_ledger(books, now)
    holdings = list(read.holdings.values())
    postings = statement(holdings, read.entries, now)
    found = total(postings)
    coming = read.on_their_way()
    return {
        "at": timestamp(now),
        "total": _plain(found),
        "addsUp": adds_up(found),
        "leastFees": sum(least_fee_part(each).amount for each in holdings if not each.is_owed),
        "onTheirWay": {"payments": len(coming), "amount": sum(each.amount.amount for each in coming)},
        "pins": dict(Counter(pin.state.value for pin in read.pins.values())),
        "owedWithoutPin": sum(len(each.payments) for key, each in read.holdings.items() if key not in read.pins),
        "liabilities": _liabilities(liabilities(holdings, now)),
        "by": {group: _grouped(group, postings, read) for group in GROUPS},
    }


def _liabilities(due: Liabilities) -> dict[str, Any]:
    disk = [{"from": timestamp(moment), "bytes": size} for moment, size in due.disk]
    return {"byteMonths": due.byte_months, "terms": due.terms, "disk": disk}


def _grouped(group: str, postings: Sequence[Posting], read: Ledger) -> list[dict[str, Any]]:
    from pinning_worker.domain.money.statement import sums
    from pinning_worker.domain.pin import PinKey
    from pinning_worker.domain.topic.name_row import name_text

    rows: Iterable[tuple[dict[str, Any], Mapping[Kind, Swartz]]]
    match group:
        case "account":
            by_account = sums(postings, lambda each: (each.name, each.root, each.cid_text))
            states = {key: pin.state.value for key, pin in read.pins.items()}
            rows = [
                ({"name": name_text(name), "cid": text, "state": states.get(PinKey(root, name), "")}, found)
                for (name, root, text), found in sorted(by_account.items())
            ]
        case "name":
            rows = _headed("name", sums(postings, lambda each: name_text(each.name)))
        case "period":
            rows = _headed("period", sums(postings, lambda each: each.period))
        case _:
            rows = _headed("tariff", sums(postings, lambda each: str(each.tariff or "")))
    return [head | _plain(found) for head, found in rows]


def _headed(
    title: str, found: Mapping[str, Mapping[Kind, Swartz]]
) -> list[tuple[dict[str, Any], Mapping[Kind, Swartz]]]:
    return [
        ({title: key}, found[key]) for key in sorted(found, key=lambda key: (len(key) if key.isdigit() else 0, key))
    ]


def _plain(found: Mapping[Kind, Swartz]) -> dict[str, int]:
    return {kind.value: amount.amount for kind, amount in found.items()}


_MEANINGS = {
    "earned": "delivered so far",
    "unearned": "bought, still to be delivered",
    "credit": "payers' rests, which buy no whole month yet",
    "owed": "paid, and the content is not here or was never sold",
    "refunded": "paid back",
    "closed": "given up, by `ledger close`",
}


def summary_lines(found: dict[str, Any]) -> list[str]:
    from pinning_worker.domain.money.swartz import Swartz

    amounts = found["total"]
    lines = [
        f"The books at {found['at']}, in swartz",
        f"  received   {amounts['received']:>18}  {Swartz(amounts['received'])}",
    ]
    lines += [f"  {kind:<10} {amounts[kind]:>18}  {meaning}" for kind, meaning in _MEANINGS.items()]
    check = "agree" if found["addsUp"] else "DO NOT AGREE"
    lines.append(f"  check: received and {' + '.join(_MEANINGS)} {check}")
    lines.append(f"  least fees beyond the exact price: {found['leastFees']} of what was bought")
    coming = found["onTheirWay"]
    lines.append(f"  on their way, not counted: {coming['amount']} in {coming['payments']} payments")
    lines += ["", *_month_lines(found), *_liability_lines(found)]
    return lines


def _month_lines(found: dict[str, Any]) -> list[str]:
    month = found["at"][:7]
    this = next((row for row in found["by"]["period"] if row["period"] == month), {"received": 0, "earned": 0})
    pins = ", ".join(f"{count} {state}" for state, count in sorted(found["pins"].items())) or "none"
    strays = f"; {found['owedWithoutPin']} payments without a pin" if found["owedWithoutPin"] else ""
    return [f"{month}: received {this['received']}, earned {this['earned']} so far", f"pins: {pins}{strays}"]


def _liability_lines(found: dict[str, Any]) -> list[str]:
    from pinning_worker.domain.content.sizes import human_size

    due = found["liabilities"]
    steps = [f"{human_size(step['bytes'])} from {step['from'][:10]}" for step in due["disk"][:MONTHS_SHOWN]]
    more = " …" if len(due["disk"]) > MONTHS_SHOWN else ""
    return [
        f"still to deliver: {human_size(due['byteMonths'])} x months in {due['terms']} terms",
        f"disk for them, at most: {', '.join(steps)}{more}",
    ]


def group_lines(by: str, rows: list[dict[str, Any]]) -> list[str]:
    kinds = ("received", *_MEANINGS)
    head = " ".join(f"{kind:>14}" for kind in kinds)
    lines = [f"{head}  {by}"]
    for row in rows:
        label = (
            "  ".join(printable(str(value)) for key, value in row.items() if key not in kinds and value != "") or "-"
        )
        lines.append(" ".join(f"{row[kind]:>14}" for kind in kinds) + f"  {label}")
    return lines
