"""A gossip frame that holds thousands of small messages must not stop everybody.

The fault: after one frame of 1 MiB with 25 000 empty messages in it, from any peer, the worker answers nobody for
minutes. Why: the library starts a task for each message of a frame, and for each task that it starts it searches all
running tasks for the parent. Where: `TrioManager._find_parent_task`, called by `Pubsub.continuously_read_stream`.

The cure: each task remembers its own record, so nothing is searched. Of one frame MOST_MESSAGES are taken, as many as
one connection may hand over in some seconds; the others are dropped.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import structlog
import trio
from libp2p.pubsub import pubsub
from libp2p.tools.anyio_service.trio_manager import TrioManager
from libp2p.tools.anyio_service.trio_tasks import FunctionTask

from pinning_worker.adapters.p2p.bounds.gossip_budget import MOST_MESSAGES
from pinning_worker.adapters.p2p.cures.once import replace

_log = structlog.get_logger(__name__)
_running: ContextVar[tuple[TrioManager, Any]] = ContextVar("running")

Run = Callable[[TrioManager, Any], Awaitable[None]]


def mend() -> None:
    replace(TrioManager, "_run_and_manage_task", _remember)
    replace(TrioManager, "_find_parent_task", _without_a_search)
    replace(pubsub, "maybe_consume_signed_record", _few_messages)


def _remember(stock: Run) -> Run:
    async def mended(self: TrioManager, task: Any) -> None:
        _running.set((self, task))
        await stock(self, task)

    return mended


def _without_a_search(_stock: Callable[..., Any]) -> Callable[..., Any]:
    def mended(self: TrioManager, trio_task: trio.lowlevel.Task) -> FunctionTask | None:
        """The record of that task of trio, the current one; a task that it started in another way inherited its
        variable."""
        manager, task = _running.get((None, None))
        own = manager is self and isinstance(task, FunctionTask) and task.has_trio_task and task.trio_task is trio_task
        return task if own else None

    return mended


def _few_messages(stock: Callable[..., bool]) -> Callable[..., bool]:
    """The library calls it with each frame, before it looks at anything else in it."""

    def mended(frame: Any, host: Any, peer: Any) -> bool:
        if len(frame.publish) > MOST_MESSAGES:
            _log.debug("gossip.crowded_frame", peer=str(peer), messages=len(frame.publish))
            del frame.publish[MOST_MESSAGES:]
        return stock(frame, host, peer)

    return mended
