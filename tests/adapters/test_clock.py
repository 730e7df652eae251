"""The machine's clock, and the sandbox's hand on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
from trio.testing import MockClock

from pinning_worker.adapters.machine.clock import SystemClock


def ahead(clock: SystemClock) -> timedelta:
    """Whole hours before or after the machine's clock."""
    now = clock.now()
    assert now.tzinfo is UTC
    return timedelta(hours=round((now - datetime.now(UTC)) / timedelta(hours=1)))


async def test_without_a_file_the_time_is_the_machines() -> None:
    assert ahead(SystemClock()) == timedelta(0)


async def test_the_sandbox_moves_it_while_it_runs(tmp_path: Path, autojump_clock: MockClock) -> None:
    offset = tmp_path / "clock-offset"
    clock = SystemClock(offset)
    assert ahead(clock) == timedelta(0)  # not there yet
    for written, seen in (
        ("2592000\n", timedelta(days=30)),
        ("-7200", timedelta(hours=-2)),
        ("soon", timedelta(hours=-2)),
    ):
        offset.write_text(written)
        await clock.sleep(0.2)
        assert ahead(clock) == seen
    offset.unlink()  # the sandbox has gone: time does not jump back
    await clock.sleep(0.2)
    assert ahead(clock) == timedelta(hours=-2)


async def test_the_file_is_not_read_at_every_question(tmp_path: Path, autojump_clock: MockClock) -> None:
    offset = tmp_path / "clock-offset"
    offset.write_text("3600")
    clock = SystemClock(offset)
    assert ahead(clock) == timedelta(hours=1)
    offset.write_text("7200")
    await trio.sleep(0.1)
    assert ahead(clock) == timedelta(hours=1)


async def test_moved_time_ends_a_sleep(tmp_path: Path) -> None:
    """Catches: a worker that sleeps until a pin's end by the machine's clock, while the sandbox is past it."""
    offset = tmp_path / "clock-offset"
    clock = SystemClock(offset)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.sleep, 3600)
            offset.write_text("-60")  # back: no sleep is longer for it
            await trio.sleep(0.3)
            offset.write_text("3600")
