"""How long we wait for Electrum servers, in seconds. One literal row; tests make their own with `replace`."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """`first_retry` doubles up to `longest_retry` while a server cannot be reached; `first_distrust` up to
    `longest_distrust` while it misbehaves. `burst` and `per_second` configure `Pace`, in ElectrumX's units of cost:
    raise them for a server of your own that has no limits."""

    connect: float = 10.0
    answer: float = 30.0
    check_in: float = 60.0  # between two looks at a silent server
    stale: float = 45 * 60.0  # without a new block: one in ninety honest gaps is longer, and a reconnect costs nothing
    behind: float = 10 * 60.0  # while other servers have more work
    courtesy: float = 5.0  # for another session to advance with the headers that both want
    first_retry: float = 0.5
    longest_retry: float = 60.0
    first_distrust: float = 5 * 60.0
    longest_distrust: float = 60 * 60.0
    put_off: float = 30.0  # before news is offered again that the listener could not store
    burst: float = 5000.0
    per_second: float = 1.0

    def retry_after(self, failures: int) -> float:
        """The wait after the n-th failure in a row, counted from 1."""
        return _jittered(min(self.first_retry * 2 ** min(failures - 1, 32), self.longest_retry))

    def trust_again_after(self, offences: int) -> float:
        return _jittered(min(self.first_distrust * 2 ** min(offences - 1, 32), self.longest_distrust))


def _jittered(seconds: float) -> float:
    """Spreads the retries, so that many workers do not reconnect to one server at the same moment."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311  # no secret: it spreads load
