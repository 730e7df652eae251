"""The watch over the event loop names the function that stops it, and is silent about one that does not."""

from __future__ import annotations

import time

import pytest
import trio

from tests.event_loop import watched


def block_for(seconds: float) -> None:
    time.sleep(seconds)  # on purpose


async def test_what_stops_the_loop_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with watched() as watch:
        await trio.sleep(0.01)
        block_for(0.3)
        await trio.sleep(0.01)
    (told,) = watch.told
    assert "block_for" in told
    assert "block_for" in capsys.readouterr().err, "whoever reads the test's output sees it"


async def test_many_short_steps_in_a_row_are_one_stop() -> None:
    async def step() -> None:
        block_for(0.02)

    with watched() as watch:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(step)
        await trio.sleep(0.01)
    (told,) = watch.told
    assert "block_for" in told


async def test_who_waits_stops_nobody() -> None:
    with watched(worth_telling=5.0) as watch:
        await trio.sleep(0.3)
    assert watch.told == []
