"""Tariffs: the operator's prices over time, in a log that only grows. The log alone says what money buys.

Rules: a tariff is quoted from its `since` until the next one begins, and honoured for its notice (31 days) longer. So a
cut reaches everybody at once, and a rise reaches everybody after the notice. No quote lives longer than the notice, so
every quote is kept, whoever asked for it. Nothing is backdated: a tariff begins when it is written. The one entry that
may go is the last, while no quote has named it and no proven payment may rely on it: it is struck, and stays in the log
as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import cbor2

from pinning_worker.domain.content.sizes import MEASURE
from pinning_worker.domain.money.swartz import Swartz

MIB = 1_048_576
NOTICE = timedelta(days=31)
MINERS_CLOCKS = timedelta(hours=2)  # a header's time may be that far off: nodes refuse what is further ahead


@dataclass(frozen=True, slots=True)
class Tariff:
    """`measure`: the version of the rule by which a closure is measured (`domain/content/sizes.py`)."""

    number: int  # the place in the log, from 1
    since: datetime
    per_mib_month: Swartz
    least: Swartz  # for each eight months begun
    measure: int = MEASURE
    notice: timedelta = NOTICE
    struck: bool = False
    is_derived: bool = False  # reckoned from the quotes of a version without tariffs (migration 0005)

    @property
    def honoured_from(self) -> datetime:
        return self.since - MINERS_CLOCKS

    def __post_init__(self) -> None:
        is_timed = self.since.tzinfo is not None and not self.since.microsecond  # the hash counts whole seconds
        if self.number < 1 or self.per_mib_month < Swartz(0) or self.least < Swartz(1) or not is_timed:
            raise ValueError(f"not a tariff: {self}")

    @property
    def hash(self) -> str:
        """SHA-256, in hex, of the tariff as canonical dag-cbor: with it a payer sees that all are quoted alike."""
        fields = {
            "number": self.number,
            "since": int(self.since.timestamp()),
            "perMibMonth": self.per_mib_month.amount,
            "least": self.least.amount,
            "measure": self.measure,
            "noticeDays": self.notice.days,
        }
        return sha256(cbor2.dumps(fields, canonical=True)).hexdigest()


TariffLog = Sequence[Tariff]
"""In the order of their numbers, which is that of their time. Never empty once the worker has started."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate of one closure at one moment. `exact`: price x bytes, in swartz x bytes for a MiB and month."""

    exact: int
    least: Swartz


def quoted_at(moment: datetime, log: TariffLog) -> Tariff:
    """The tariff that is quoted at that moment; before the first, the first. Raises ValueError on an empty log."""
    standing = [tariff for tariff in log if not tariff.struck]
    if not standing:
        raise ValueError("no tariff is set")
    return next((tariff for tariff in reversed(standing) if tariff.since <= moment), standing[0])


def honoured_at(moment: datetime, log: TariffLog) -> list[Tariff]:
    """The tariffs that a payment at `moment` (the time of its block's header) may rely on: those quoted then, with room
    for miners' clocks, and those whose notice still runs. Money from before the first tariff is judged by the first."""
    standing = [tariff for tariff in log if not tariff.struck]
    honoured = [*standing[:1]] if standing and moment + MINERS_CLOCKS < standing[0].since else []
    for tariff in standing:
        over = honoured_until(tariff, log)
        if tariff.honoured_from <= moment and (over is None or moment < over):
            honoured.append(tariff)
    return honoured


def honoured_until(tariff: Tariff, log: TariffLog) -> datetime | None:
    """The end of its notice, which begins with the next tariff that stands; None before there is one."""
    following = (later.since for later in log if later.number > tariff.number and not later.struck)
    begins = next(following, None)
    return begins + tariff.notice if begins is not None else None


def rate_at(moment: datetime, log: TariffLog, measured: Mapping[int, int]) -> Rate | None:
    """The lowest price and, separately, the lowest least fee of the honoured tariffs. `measured`: this closure's bytes
    under each rule of measuring. None: it was not measured yet."""
    honoured = honoured_at(moment, log)
    exact = [each.per_mib_month.amount * measured[each.measure] for each in honoured if each.measure in measured]
    return Rate(min(exact), min(each.least for each in honoured)) if exact else None


def least_at(moment: datetime, log: TariffLog) -> Swartz:
    """The lowest least fee that is honoured at that moment."""
    return min(tariff.least for tariff in honoured_at(moment, log))


def fee(tariff: Tariff, size: int, months: int) -> Swartz:
    """The amount for `size` bytes over at most eight months: `max(least, ceil(price x bytes x months / MiB))`, rounded
    up once. Raises ValueError on a negative size or less than one month."""
    if size < 0 or months < 1:
        raise ValueError(f"cannot price {size} bytes for {months} months")
    return max(tariff.least, Swartz(-(-tariff.per_mib_month.amount * size * months // MIB)))


def bytes_for(amount: Swartz, moment: datetime, log: TariffLog) -> int:
    """The largest size that the amount keeps for one month at that moment's lowest rate; 0 below the least fee."""
    honoured = honoured_at(moment, log)
    if amount < min(tariff.least for tariff in honoured):
        return 0
    return amount.amount * MIB // max(1, min(tariff.per_mib_month.amount for tariff in honoured))


def follows(tariff: Tariff, log: TariffLog) -> bool:
    """Whether a tariff may be appended: nothing is backdated."""
    return tariff.number == len(log) + 1 and (not log or tariff.since >= log[-1].since)


def may_strike(number: int, log: TariffLog) -> bool:
    """Whether the log allows to strike that tariff: it is the last, stands, and is not the first."""
    return 1 < number == len(log) and not log[-1].struck
