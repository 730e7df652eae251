"""How long we wait for Electrum servers, in seconds. One literal row; tests make their own with `replace`."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """`first_retry_seconds` doubles up to `longest_retry_seconds` while a server cannot be reached;
    `first_distrust_seconds` up to `longest_distrust_seconds` while it misbehaves; `refusal_seconds` up to
    `longest_refusal_seconds` while it refuses the past. `burst` and `per_second` configure `Pace`, in ElectrumX's units
    of cost: raise them for a server of your own that has no limits."""

    connect_seconds: float = 10.0
    answer_seconds: float = 30.0
    check_in_seconds: float = 60.0  # between two looks at a silent server
    stale_seconds: float = 45 * 60.0  # without a new block: one in ninety honest gaps is longer; a reconnect is cheap
    behind_seconds: float = 10 * 60.0  # while other servers have more work
    courtesy_seconds: float = 5.0  # for another session to advance with the headers that both want
    first_retry_seconds: float = 0.5
    longest_retry_seconds: float = 60.0
    first_distrust_seconds: float = 5 * 60.0
    longest_distrust_seconds: float = 60 * 60.0
    refusal_seconds: float = 60.0  # before a piece of the past that was refused is requested again
    longest_refusal_seconds: float = 60 * 60.0
    put_off_seconds: float = 30.0  # before news is offered again that the listener could not store
    burst: float = 5000.0
    per_second: float = 1.0

    def retry_after(self, failures: int) -> float:
        """The wait after the n-th failure in a row, counted from 1."""
        return _jittered(min(self.first_retry_seconds * 2 ** min(failures - 1, 32), self.longest_retry_seconds))

    def trust_again_after(self, offences: int) -> float:
        return _jittered(min(self.first_distrust_seconds * 2 ** min(offences - 1, 32), self.longest_distrust_seconds))

    def refused_again_after(self, refusals: int) -> float:
        """The wait after the n-th refusal in a row, counted from 1."""
        doubled: float = self.refusal_seconds * 2 ** min(refusals - 1, 32)
        return min(doubled, self.longest_refusal_seconds)


def _jittered(seconds: float) -> float:
    """Spreads the retries, so that many workers do not reconnect to one server at the same moment."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311  # no secret: it spreads load
