"""One transient service, restarted with growing waits. Time is trio's MockClock: no test waits."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from pinning_worker.supervise import RestartPolicy, supervise

POLICY = RestartPolicy(first=1, longest=60, jitter=0.2, healthy_after=100)


class Diary:
    """A service that lives `lives[n]` seconds in its n-th life and then ends as told; when each life began."""

    def __init__(self, *lives: tuple[float, Exception | None]) -> None:
        self.lives = lives
        self.began: list[float] = []

    async def run(self) -> None:
        self.began.append(trio.current_time())
        if len(self.began) > len(self.lives):
            await trio.sleep_forever()
        seconds, end = self.lives[len(self.began) - 1]
        await trio.sleep(seconds)
        if end is not None:
            raise end

    def waits(self) -> list[float]:
        ends = [began + seconds for began, (seconds, _) in zip(self.began, self.lives, strict=False)]
        return [round(began - ended, 6) for ended, began in zip(ends, self.began[1:], strict=False)]


async def watched(diary: Diary, seconds: float, spread: Callable[[], float] = lambda: 0.0) -> list[float]:
    with trio.move_on_after(seconds):
        await supervise("link", diary.run, (OSError,), POLICY, spread)
    return diary.waits()


async def test_waits_double_up_to_the_longest_and_never_stop(autojump_clock: MockClock) -> None:
    diary = Diary(*[(0.0, ConnectionResetError()) for _ in range(12)])
    assert await watched(diary, 10_000) == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]


async def test_a_long_healthy_life_is_forgiven(autojump_clock: MockClock) -> None:
    cut_off = OSError(errno.EPIPE, "cut off")
    diary = Diary((0, cut_off), (0, cut_off), (99, cut_off), (100, cut_off), (0, cut_off))
    assert await watched(diary, 10_000) == [1, 2, 4, 1, 2]


async def test_a_service_that_returns_was_cut_off(autojump_clock: MockClock) -> None:
    assert await watched(Diary((5, None), (5, None)), 10_000) == [1, 2]


async def test_a_group_of_nothing_but_transient_faults_is_one(autojump_clock: MockClock) -> None:
    group = ExceptionGroup("", [ConnectionResetError(), ExceptionGroup("", [TimeoutError()])])
    assert await watched(Diary((0, group)), 100) == [1]


@pytest.mark.parametrize(
    "bug", [ValueError("a bug"), ExceptionGroup("", [ConnectionResetError(), ValueError("a bug")])]
)
async def test_a_bug_is_not_restarted(autojump_clock: MockClock, bug: Exception) -> None:
    diary = Diary((0, bug))
    with pytest.raises(type(bug)) as raised:
        await watched(diary, 100)
    assert raised.value is bug
    assert len(diary.began) == 1


async def test_jitter_spreads_within_its_bounds_and_below_the_longest(autojump_clock: MockClock) -> None:
    assert await watched(Diary(*[(0.0, OSError())] * 8), 10_000, lambda: 1.0) == [
        1.2, 2.4, 4.8, 9.6, 19.2, 38.4, 60, 60,
    ]  # fmt: skip
    assert await watched(Diary(*[(0.0, OSError())] * 3), 10_000, lambda: -1.0) == [0.8, 1.6, 3.2]


def test_the_thousandth_failure_is_still_a_number() -> None:
    assert POLICY.wait(1_000_000, 0.0) == 60


async def test_cancelling_ends_it_during_a_wait(autojump_clock: MockClock) -> None:
    failing: Callable[[], Awaitable[None]] = Diary((0, OSError())).run
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, "link", failing, (OSError,), POLICY)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
