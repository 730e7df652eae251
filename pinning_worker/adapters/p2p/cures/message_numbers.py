"""A worker that was restarted must be heard at once.

What happens: after a restart, answers are lost for up to 120 s. Why: the numbers of our messages start at
`int(time.time())` and count up by one, so that a worker which published faster than once a second begins in its own
past, and peers drop what they have seen (sender, number). Where: `Pubsub.__init__`, `self.counter`.

The cure: start at nanoseconds. Nobody publishes a message each nanosecond. The number is 8 bytes on the wire.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from libp2p.pubsub.pubsub import Pubsub

from pinning_worker.adapters.p2p.cures.once import replace


def mend() -> None:
    replace(Pubsub, "__init__", _count_from_nanoseconds)


def _count_from_nanoseconds(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: Pubsub, *args: Any, **kwargs: Any) -> None:
        stock(self, *args, **kwargs)
        self.counter = time.time_ns()

    return mended
