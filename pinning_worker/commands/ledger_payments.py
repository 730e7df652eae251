"""Payments as data, and as lines for a person: what each bought, and how one was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinning_worker.commands.store import timestamp
from pinning_worker.commands.strangers_text import printable

if TYPE_CHECKING:
    from datetime import datetime

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.domain.money.entry import Entry
    from pinning_worker.domain.money.payment import Payment
    from pinning_worker.domain.money.statement import Holding, Purchase
    from pinning_worker.domain.money.swartz import Swartz
    from pinning_worker.domain.money.tariff import Tariff


async def describe_all(books: SqlBooks, now: datetime) -> list[dict[str, Any]]:
    from pinning_worker.domain.money.statement import purchases
    from pinning_worker.steps.ledger import read_ledger

    read = await read_ledger(books, now)
    bought = {purchase.bought.txid: purchase for holding in read.holdings.values() for purchase in purchases(holding)}
    return [_payment(each, read.holding_of(each), bought.get(each.txid)) for each in read.payments]


def _payment(payment: Payment, holding: Holding | None, purchase: Purchase | None) -> dict[str, Any]:
    from pinning_worker.domain.topic.name_row import name_text

    proof = payment.proof
    return {
        "txid": payment.txid,
        "height": proof.height if proof else None,
        "time": timestamp(proof.time if proof else None),
        "received": payment.received.amount,
        "withdrawn": payment.withdrawn.amount,
        "state": "counts" if holding is not None else "gone" if payment.gone else "on its way",
        "months": purchase.bought.months if purchase else 0,
        "spent": purchase.bought.amount.amount if purchase else 0,
        "starts": timestamp(purchase.starts if purchase else None),
        "ends": timestamp(purchase.ends if purchase else None),
        "tariff": purchase.tariff if purchase else None,
        "name": name_text(payment.name),
        "cid": payment.cid_text,
    }


def payment_line(one: dict[str, Any]) -> str:
    block = f"{one['height']:>8} {one['time'][:10]}" if one["height"] is not None else f"{'-':>8} {'-':<10}"
    bought = f"{_months(one['months'])} until {one['ends'][:10]}" if one["months"] else one["state"]
    out = f", {one['withdrawn']} taken out" if one["withdrawn"] else ""
    whose = f"{printable(one['name'])}  {one['cid'] or 'no CID'}"
    return f"{block} {one['received']:>14}  {one['txid']}  {bought}{out}  {whose}"


async def describe_judged(books: SqlBooks, txid: str, now: datetime) -> dict[str, Any] | None:
    from pinning_worker.domain.money.statement import purchases
    from pinning_worker.domain.money.tariff import honoured_at
    from pinning_worker.steps.ledger import read_ledger

    read = await read_ledger(books, now)
    payment = next((each for each in read.payments if each.txid == txid), None)
    if payment is None:
        return None
    holding = read.holding_of(payment)
    purchase = next((each for each in purchases(holding) if each.bought.txid == txid), None) if holding else None
    rate = holding.rates.at(payment.proof.time) if holding and payment.proof else None
    honoured = honoured_at(payment.proof.time, read.tariffs) if payment.proof else ()
    return {
        **_payment(payment, holding, purchase),
        "block": payment.proof.block_hash if payment.proof else None,
        "outputs": [{"vout": each.vout, "amount": each.amount.amount} for each in payment.outputs],
        "honoured": [_tariff(each) for each in honoured],
        "bytes": _size(holding, purchase),
        "rate": {"swartzBytesPerMonth": rate.exact, "least": rate.least.amount} if rate else None,
        "creditAfter": _credit_after(holding, txid).amount if holding else None,
        "entries": [describe_entry(each) for each in read.entries if each.txid == txid],
    }


def _tariff(one: Tariff) -> dict[str, Any]:
    return {"number": one.number, "perMibMonth": one.per_mib_month.amount, "least": one.least.amount, "hash": one.hash}


def _size(holding: Holding | None, purchase: Purchase | None) -> int | None:
    """The bytes that the purchase was charged by, or those that are known of its content."""
    if purchase is not None:
        return purchase.size
    return next(iter(holding.rates.measured.values()), None) if holding is not None else None


def describe_entry(one: Entry) -> dict[str, Any]:
    return {
        "number": one.number,
        "kind": one.kind.value,
        "at": timestamp(one.at),
        "amount": one.amount.amount,
        "refundTxid": one.refund_txid,
        "reason": one.reason,
    }


def _credit_after(holding: Holding, txid: str) -> Swartz:
    """The credit of the account after this payment: what was paid until then, less what was bought."""
    from pinning_worker.domain.money.swartz import ZERO

    amounts, credit = {payment.txid: payment.amount for payment in holding.payments}, ZERO
    for bought in holding.account().history:
        credit = credit - bought.amount + (amounts[bought.txid] if bought.txid is not None else ZERO)
        if bought.txid == txid:
            break
    return credit


def judged_lines(found: dict[str, Any]) -> list[str]:
    from pinning_worker.domain.content.sizes import human_size

    lines = [payment_line(found)]
    if found["block"]:
        lines.append(f"block      {found['height']} {found['block']}, {found['time']}")
    lines += [
        f"honoured   tariff {each['number']}: {each['perMibMonth']} swartz a MiB and month, least fee {each['least']}"
        for each in found["honoured"]
    ]
    if found["rate"] and found["bytes"] is not None:
        lines.append(f"content    {human_size(found['bytes'])} ({found['bytes']} bytes), by the lowest of these")
    elif found["cid"] and found["state"] == "counts":
        lines.append("content    never measured: nothing could be bought yet")
    if found["months"]:
        lines.append(
            f"bought     {_months(found['months'])} for {found['spent']} swartz, "
            f"{found['starts']} until {found['ends']}"
        )
    if found["creditAfter"] is not None:
        lines.append(f"credit     {found['creditAfter']} swartz in the account afterwards")
    lines += [entry_line(each) for each in found["entries"]]
    return lines


def entry_line(one: dict[str, Any]) -> str:
    amount = f" {one['amount']} swartz" if one["amount"] else ""
    back = f" by {one['refundTxid']}" if one["refundTxid"] else ""
    return f"entry {one['number']:<4} {one['kind']}{amount}{back}, {one['at']}: {printable(one['reason'])}"


def _months(count: int) -> str:
    return f"{count} month{'s' if count > 1 else ''}"
