"""A thousand peers at a time must not end the worker.

The fault: with `max_connections` above 1 000, the 1 001st peer that connects ends the process. Why: one task of gossip
starts another for each peer, and none may have more than 1 000 at a time. Where: `TrioManager.__init__`.

The cure: a task may start MOST; the number of connections is bounded elsewhere.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libp2p.tools.anyio_service.trio_manager import TrioManager

from pinning_worker.adapters.p2p.cures.once import replace

MOST = 1_000_000


def mend() -> None:
    replace(TrioManager, "__init__", _with_many)


def _with_many(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: TrioManager, *args: Any, **options: Any) -> None:
        stock(self, *args, **options)
        self._max_children_per_task = MOST

    return mended
