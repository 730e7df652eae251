"""Rebuilding the books from the receipts: the promise for each payment, so that the same payment buys it again.

The story does the rest: the chain shows every payment, these quotes judge it, and its content is found on disk, block
by block, before a fetch asks any peer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from pinning_worker.domain.content.cid import Root, cid_text, parse_cid
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import Script
from pinning_worker.domain.money.entry import Entry
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.receipt import Receipt
from pinning_worker.domain.money.tariff import Tariff
from pinning_worker.domain.topic.name_row import name_text
from pinning_worker.ports.books import Books, Change, Receipts

log = structlog.get_logger()

QUOTES_AT_ONCE = 500  # in memory, and in one change: strangers can make the journal of quotes arbitrarily long
# A payment comes before its pin, by at most the life of a quote and the time of its confirmations.
_BEFORE_THE_PIN = timedelta(days=2)


def quotes_of(receipts: Iterable[Receipt], *, address: str, script: Script, network: str) -> list[Quote]:
    """A quote for each quote id in the receipts, live when its payment was made. A receipt does not record how the
    bytes were split between metadata and images; the price does not depend on it."""
    found: dict[str, Quote] = {}
    for receipt in sorted(receipts, key=lambda receipt: receipt.pinned_at):
        if receipt.quote_id in found:
            continue
        found[receipt.quote_id] = Quote(
            id=receipt.quote_id,
            root=parse_cid(receipt.cid).key,
            cid_text=receipt.cid,
            months=receipt.months,
            amount=receipt.fee,
            tariff=1,
            tariff_hash="",
            sizes=Sizes(receipt.size, 0, receipt.size),
            blocks=receipt.blocks,
            issued=receipt.pinned_at - _BEFORE_THE_PIN,
            expires=receipt.pinned_at,
            payment_address=address,
            payment_script=script,
            network=network,
            foreign=(),
        )
    return list(found.values())


async def promised_to_nobody(books: Books, receipts: Receipts, now: datetime) -> list[Receipt]:
    """Receipts whose term runs and whose pin is not in the books: the payment has not been found (yet)."""
    running = [each for each in await receipts.all() if each.released_at is None and each.ends > now]
    if not running:
        return []
    known = {(cid_text(pin.root), name_text(pin.name)) for pin in await books.all_pins()}
    return [receipt for receipt in running if (receipt.cid, receipt.name_id) not in known]


async def promised_scripts(books: Books, receipts: Receipts, now: datetime) -> set[Script]:
    """Payment scripts to watch for the payments of those receipts, even after their removal from the settings."""
    missing = await promised_to_nobody(books, receipts, now)
    return {
        quote.payment_script
        for receipt in missing
        for quote in await books.quotes(parse_cid(receipt.cid).key)
        if quote.id == receipt.quote_id
    }


async def take_up_receipts(receipts: Receipts, journal: Sequence[Receipt]) -> int:
    """Stores missing receipts, and changes no existing one. Returns how many were new. Call it after `take_up_quotes`:
    a stored receipt implies that its quote is stored. Raises Trouble."""
    known = {receipt.key for receipt in await receipts.all()}
    missing = [receipt for receipt in journal if receipt.key not in known]
    for receipt in missing:
        await receipts.put(receipt)
    return len(missing)


async def take_up_tariffs(books: Books, journal: Sequence[Tariff]) -> None:
    """Appends the tariffs that the books lack, and strikes those that were struck meanwhile. Raises Trouble."""
    for tariff in journal:
        known = await books.tariffs()
        if tariff.number > len(known):
            is_taken = await books.add_tariff(tariff)
        else:
            is_taken = known[tariff.number - 1].struck >= tariff.struck or await books.strike_tariff(tariff.number)
        if not is_taken:  # a line between them is unreadable, or the books followed another log
            log.error("tariffs.cut_short", taken=tariff.number - 1, left=len(journal) - journal.index(tariff))
            return


async def take_up_entries(books: Books, journal: Sequence[Entry]) -> None:
    """Appends the operator's entries that the books lack. The payments that they assign may come later. Raises
    Trouble."""
    known = len(await books.entries())
    missing = [entry for entry in journal if entry.number > known]
    following = [entry for number, entry in enumerate(missing, start=known + 1) if entry.number == number]
    await books.commit(Change(entries=tuple(following)))
    if len(following) < len(missing):
        log.error("ledger.cut_short", taken=len(following), left=len(missing) - len(following))


async def take_up_quotes(books: Books, promises: Iterable[Quote]) -> None:
    """Stores missing quotes, and changes no existing one; of two with one id the first counts. All in one change: pass
    at most QUOTES_AT_ONCE. Raises Trouble."""
    by_root: dict[Root, dict[str, Quote]] = {}
    struck = {tariff.number for tariff in await books.tariffs() if tariff.struck}
    for quote in (each for each in promises if each.tariff not in struck):  # noted, and refused: never told
        by_root.setdefault(quote.root, {}).setdefault(quote.id, quote)
    new: list[Quote] = []
    for root, quotes in by_root.items():
        stored = {quote.id for quote in await books.quotes(root)}
        new += [quote for id_, quote in quotes.items() if id_ not in stored]
    await books.commit(Change(quotes=tuple(new)))
