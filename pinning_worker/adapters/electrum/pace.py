"""How much bulk work one server does for us.

ElectrumX counts what a session (and its whole address range) costs: about 1 for a transaction, 1 for every 5 000 bytes,
100 for an error. Above 1 000 it answers ever slower (a delay of up to 2 s each), at 10 000 it closes the connection;
the count sinks by 1 a second (`COST_SOFT_LIMIT`, `COST_HARD_LIMIT`, `BANDWIDTH_UNIT_COST`, its defaults). Following a
payment script costs next to nothing; the headers of a year (about 180 for 500 with their AuxPow), or the NameOps of a
thousand blocks, cost a lot. So we count every request here too, and all work that can wait does wait.
"""

from __future__ import annotations

import trio

COST_PER_BYTE = 1 / 5000
COST_OF_ERROR = 100.0
COST_OF_CALL = 1.0
COST_OF_METHOD = {"blockchain.transaction.id_from_pos": 0.3}  # of bulk work; what costs less than 1 and is rare is 1
SOFT_LIMIT = 900.0  # above it the server answers slowly
SPARE_LIMIT = 400.0  # work that could wait for days starts below it: one piece more, and all is still answered at once
DEEPEST_DEBT = 5000.0  # beyond the burst: ElectrumX has closed the connection by then, and counts no more


class Pace:
    """A bucket of cost that refills with time. Bulk work waits for it; urgent work may overdraw it."""

    def __init__(self, burst: float = 5000.0, per_second: float = 1.0) -> None:
        self._burst, self._per_second, self._left = burst, per_second, burst
        self._counted_at: float | None = None

    def spend(self, cost: float) -> None:
        """Counts the cost, down to DEEPEST_DEBT: a server that refuses everything cannot put us in debt for weeks."""
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
        """True while the server delays each request of a batch: an urgent one should not queue behind many."""
        return self._spent() > SOFT_LIMIT

    async def wait(self) -> None:
        """Returns as soon as nothing is overdrawn. Bulk work calls it before each piece."""
        while self.is_spent:  # noqa: ASYNC110  # time itself refills the bucket
            await trio.sleep(-self._left / self._per_second)

    async def wait_for_spare(self) -> None:
        """Returns while so little is spent that the server answers everything at once, and goes on to. Work for which
        nobody waits calls it before each piece, and leaves the burst to payments and headers."""
        while (excess := self._spent() - SPARE_LIMIT) > 0:  # noqa: ASYNC110  # time itself refills the bucket
            await trio.sleep(excess / self._per_second)

    def _spent(self) -> float:
        self._refill()
        return self._burst - self._left

    def _refill(self) -> None:
        now = trio.current_time()
        if self._counted_at is not None:
            self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
