"""The operator's decisions, in the story's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pinning_worker.domain.content.cid import Cid, Root
from pinning_worker.domain.identities import Script
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import Tariff
from pinning_worker.domain.verdict import Depth
from pinning_worker.ports.content import Budget


@dataclass(frozen=True, slots=True)
class Terms:
    """`settings/fields.py` has the defaults, `.env.example` explains each."""

    payment_address: str
    payment_script: Script
    network: str
    depth: Depth
    budget: Budget
    staging_quota: int  # bytes of quoted, unpaid content
    quarantine: timedelta
    quote_life: timedelta
    most_months: int
    min_payment: Swartz | None  # nobody is told of a smaller one; None: a hundredth of the least fee
    queue_size: int  # requests waiting or being fetched
    queue_size_per_peer: int
    fetches_at_once: int
    steps_at_once: int = 16
    longest_rest: timedelta = timedelta(hours=1)  # a clock may be set, a machine may sleep: look again
    denied: Callable[[Cid], bool] = lambda cid: False  # by its block, whatever the codec of the CID
    blocked: Callable[[Root], bool] = lambda root: False  # denied, or holds a denied block (steps/takedown.py)

    def least_told(self, tariff: Tariff) -> Swartz:
        """The smallest payment of which anybody is told: a hundredth of the least fee by default."""
        return self.min_payment if self.min_payment is not None else Swartz(tariff.least.amount // 100)
