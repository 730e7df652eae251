"""A worker that was restarted must be heard at once.

What happens: after a restart, answers are lost for up to 120 s. Why: the numbers of our messages start at
`int(time.time())` and count up by one, so that a worker which published faster than once a second begins in its own
past, and peers drop what they have seen (sender, number). Where: `Pubsub._next_seqno`.

The cure: a number is the time in nanoseconds, and more than the one before. Nobody publishes a message each nanosecond.
It is asked for with each message: go-libp2p can be told to remember the highest of each peer and to drop what is below
(`BasicSeqnoValidator`; Kubo does), so who began while its clock was behind is heard as soon as its clock is right. The
number is 8 bytes on the wire.

Upstream: not reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from libp2p.pubsub.pubsub import Pubsub

from pinning_worker.adapters.p2p.cures.once import replace


def mend() -> None:
    replace(Pubsub, "_next_seqno", _the_time)


def _the_time(_stock: Callable[[Pubsub], bytes]) -> Callable[[Pubsub], bytes]:
    def mended(self: Pubsub) -> bytes:
        self.counter = max(self.counter + 1, time.time_ns())
        return self.counter.to_bytes(8, "big")

    return mended
