"""How much one server may be asked in bulk.

ElectrumX counts what a session (and its whole address range) costs: about 1 for a transaction, 1 for every 5 000 bytes,
100 for an error. Above 1 000 it answers ever slower (a delay of up to 2 s each), at 10 000 it hangs up; the count sinks
by 1 a second (`COST_SOFT_LIMIT`, `COST_HARD_LIMIT`, `BANDWIDTH_UNIT_COST`, its defaults). Following a payment script
costs next to nothing; the headers of a year (about 180 for 500 with their AuxPow), or the NameOps of a thousand blocks,
do. So everything is counted here too, and what can wait does wait.
"""

from __future__ import annotations

import trio

COST_PER_BYTE = 1 / 5000
COST_OF_ERROR = 100.0
SOFT_LIMIT = 900.0  # from where on it answers slowly
DEEPEST_DEBT = 5000.0  # beyond the burst: ElectrumX has hung up by then, and counts no more


class Pace:
    """A bucket of cost that fills with time. Only bulk work waits for it; whoever cannot wait may overdraw it."""

    def __init__(self, burst: float = 5000.0, per_second: float = 1.0) -> None:
        self._burst, self._per_second, self._left = burst, per_second, burst
        self._counted_at: float | None = None

    def spend(self, cost: float) -> None:
        """Never more than ElectrumX counts before it hangs up: a server that refuses everything makes us no debtor for
        weeks."""
        self._refill()
        self._left = max(self._left - cost, -DEEPEST_DEBT)

    def spend_bytes(self, count: int) -> None:
        self.spend(count * COST_PER_BYTE)

    @property
    def is_spent(self) -> bool:
        self._refill()
        return self._left < 0

    @property
    def is_strained(self) -> bool:
        """It answers slowly by now, each request of a batch for itself: what is urgent should not stand behind many."""
        self._refill()
        return self._burst - self._left > SOFT_LIMIT

    async def wait(self) -> None:
        """Returns when nothing is overdrawn: before each piece of bulk work."""
        while self.is_spent:  # noqa: ASYNC110  # time itself is what fills the bucket
            await trio.sleep(-self._left / self._per_second)

    def _refill(self) -> None:
        now = trio.current_time()
        if self._counted_at is not None:
            self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
