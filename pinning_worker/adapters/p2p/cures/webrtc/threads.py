"""A browser that reads slowly over webrtc must not stop the database.

The fault: every write and every other call into aiortc holds one of the process's 40 worker threads until it is done;
forty browsers that do not read hold them all, and nothing that needs a thread (disk, database) goes on. Why: the bridge
between trio and aiortc's event loop waits for a result in a thread. Where: `AsyncioBridge.run_coro`.

The cure: the event loop wakes the waiting task itself, and no thread waits. Applied only when a host listens on
webrtc-direct.

Upstream: not reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import trio
from libp2p.transport.webrtc._asyncio_bridge import AsyncioBridge, AsyncioBridgeError

from pinning_worker.adapters.p2p.cures.once import replace

Run = Callable[[AsyncioBridge, Coroutine[Any, Any, Any]], Awaitable[Any]]


def mend() -> None:
    replace(AsyncioBridge, "run_coro", _without_a_thread)


def _without_a_thread(_stock: Run) -> Run:
    async def mended(self: AsyncioBridge, coroutine: Coroutine[Any, Any, Any]) -> Any:
        with self._state_lock:
            loop = self._loop if self._started and not self._stopped else None
        if loop is None:
            coroutine.close()
            raise AsyncioBridgeError("the bridge to aiortc is closed")
        done, token = trio.Event(), trio.lowlevel.current_trio_token()

        def wake(_: Future[Any]) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        future.add_done_callback(wake)
        try:
            await done.wait()
        except trio.Cancelled:
            future.cancel()
            raise
        return future.result()

    return mended
