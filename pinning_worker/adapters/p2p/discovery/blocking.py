"""Calls that may take long, or for ever, in a thread of their own: awaited until a deadline, then abandoned.

A thread cannot be ended. An abandoned one goes on until its call returns, so there are at most LEFT of them: a further
call waits for a place, within its own deadline. The worker's end waits for none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

LEFT = 4
_places = trio.CapacityLimiter(LEFT)
T = TypeVar("T")


async def within(seconds: float, call: Callable[[], T]) -> T:
    """Returns or raises the result of `call`. Raises trio.TooSlowError."""
    with trio.fail_after(seconds):
        return await trio.to_thread.run_sync(
            call,
            abandon_on_cancel=True,  # type: ignore[call-arg]  # the stubs found here are of an older trio
            limiter=_places,
        )
