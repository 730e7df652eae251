"""Quotes, and the months that they offer.

A quote is a promise: it names its tariff, and its life never exceeds that tariff's notice, so the tariff log alone
keeps it (`tariff.py`). Months are calendar months in UTC (the predecessor counted 30-day ones on the wall clock). At
most 8 are sold, because a name lives 36 000 ten-minute blocks: 250 days.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import Script
from pinning_worker.domain.money.swartz import Swartz

MOST_MONTHS = 8
WATCHED_AFTER = timedelta(days=731)  # an address stays watched so long after the last quote that named it
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Quote:
    """A promise: these bytes, so many months, this amount, to this script, until `expires` (UTC, exclusive).

    `root` is the CID's key (CIDv1 bytes), `cid_text` the first asker's spelling; a closure has one quote for each
    (root, months). `foreign` are links in the metadata that are not on IPFS: reported, never charged.
    """

    id: str
    root: Root
    cid_text: str
    months: int
    amount: Swartz
    tariff: int  # the number of its tariff; `priceVersion` on the wire
    tariff_hash: str  # empty for a quote from before tariffs had one
    sizes: Sizes
    blocks: int
    issued: datetime
    expires: datetime
    payment_address: str
    payment_script: Script
    network: str
    foreign: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # With an empty address the deployed browser silently leaves the payment out of the transaction.
        if not self.payment_address or not self.payment_script:
            raise ValueError("a quote without a payment address cannot be paid")

    def is_live(self, now: datetime) -> bool:
        return now < self.expires


def months_to_sell(asked: int | None, most: int = MOST_MONTHS) -> int:
    """The requested months, at most `most`, which is also the default. Raises ValueError below one."""
    if asked is None:
        return most
    if asked < 1:
        raise ValueError(f"cannot sell {asked} months")
    return min(asked, most)


def add_months(start: datetime, months: int) -> datetime:
    """The same day and time so many calendar months later, in UTC; 31 January plus one is the last day of February."""
    start = start.astimezone(UTC)
    years, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + years, month + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return start.replace(year=year, month=month, day=day)


def remaining_days(end: datetime, now: datetime) -> int:
    """Whole days until `end`, rounded down, never negative."""
    return max(0, (end - now) // _DAY)
