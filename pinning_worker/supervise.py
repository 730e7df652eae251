"""Restart policy for one service whose faults are the world's: the link to the Electrum servers, a mirror.

Only what is named transient is restarted here; anything else is a bug or a lost promise, leaves as it is, and ends the
process: systemd starts it anew, and the store remembers. Waits double from `first` to `longest`, each spread by
`jitter` so that many workers do not come back to one server in the same moment, and begin anew after the service
was well for `healthy_after`. There is no last try: an outage of a day must not need an operator.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
import trio

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Seconds. `jitter` 0.2 spreads each wait over 80 to 120 %; the spread one is never longer than `longest`."""

    first: float = 0.5
    longest: float = 60.0
    jitter: float = 0.2
    healthy_after: float = 120.0

    def wait(self, failures: int, spread: float) -> float:
        """For the n-th failure in a row, counted from 1; `spread` is in [-1, 1]."""
        doubled = self.first * 2.0 ** min(failures - 1, 64)
        return min(doubled * (1 + self.jitter * spread), self.longest)


async def supervise(
    name: str,
    service: Callable[[], Awaitable[None]],
    transient: tuple[type[Exception], ...],
    policy: RestartPolicy = RestartPolicy(),
    spread: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311  no secret: it spreads load
) -> None:
    """Runs `service` until cancelled, again after each end and each transient fault.

    A service that returns was cut off: that is a fault like any other. Every exception that is not transient leaves, as
    itself; an exception group leaves whole unless all in it is transient.
    """
    failures = 0
    while True:
        started = trio.current_time()
        reason = await _run_once(service, transient)
        was_well = trio.current_time() - started >= policy.healthy_after
        failures = 1 if was_well else failures + 1
        wait = policy.wait(failures, spread())
        log.warning("service restarts", service=name, reason=reason, failures=failures, wait_seconds=round(wait, 1))
        await trio.sleep(wait)


async def _run_once(service: Callable[[], Awaitable[None]], transient: tuple[type[Exception], ...]) -> str:
    """Why it ended."""
    try:
        await service()
    except transient as error:
        return repr(error)
    except ExceptionGroup as group:
        ours, others = group.split(transient)
        if others is not None or ours is None:
            raise
        return repr(ours)
    return "it ended"
