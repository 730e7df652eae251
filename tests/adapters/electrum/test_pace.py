"""What can wait waits; what cannot goes through and is paid for later. On a clock that jumps."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from pinning_worker.adapters.electrum.pace import COST_PER_BYTE, Pace


async def test_bulk_work_waits_once_the_burst_is_spent(autojump_clock: MockClock) -> None:
    pace, began = Pace(burst=10, per_second=2), trio.current_time()
    for _ in range(11):
        await pace.wait()
        pace.spend(1)
    assert trio.current_time() == began
    await pace.wait()
    assert trio.current_time() - began == 0.5
    pace.spend(21)  # a payment does not ask
    await pace.wait()
    assert trio.current_time() - began == 11


async def test_the_bucket_fills_to_its_brim_and_no_further(autojump_clock: MockClock) -> None:
    pace = Pace(burst=10, per_second=2)
    pace.spend(5)
    await trio.sleep(1000)
    pace.spend_bytes(round(11 / COST_PER_BYTE))
    began = trio.current_time()
    await pace.wait()
    assert trio.current_time() - began == 0.5
