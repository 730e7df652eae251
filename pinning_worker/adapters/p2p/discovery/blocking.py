"""Calls that may take long, or for ever, in a thread of their own: waited for until a deadline, then left alone.

A thread cannot be ended. One that is left goes on until its call returns, so there are at most LEFT of them: what comes
then waits for a place, within its own deadline. The worker's end waits for none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

LEFT = 4
_places = trio.CapacityLimiter(LEFT)
T = TypeVar("T")


async def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns, or raises. Raises trio.TooSlowError."""
    with trio.fail_after(seconds):
        return await trio.to_thread.run_sync(
            call,
            abandon_on_cancel=True,  # type: ignore[call-arg]  # the stubs found here are of an older trio
            limiter=_places,
        )
