"""The webrtc-threads cure: whatever waits for aiortc, threads are free for the disk and the database."""

from __future__ import annotations

import asyncio

import trio
import trio.testing
from libp2p.transport.webrtc._asyncio_bridge import AsyncioBridge

from pinning_worker.adapters.p2p.cures.webrtc import threads as webrtc_threads
from tests.adapters.p2p.cure_rig import outcome, play


async def fifty_that_wait() -> str:
    """Fifty calls that never end, as writes to a browser that does not read; then one thread is wanted."""
    bridge = AsyncioBridge()
    await bridge.start()
    answer = await bridge.run_coro(asyncio.sleep(0, "answered"))
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(bridge.run_coro, asyncio.sleep(3600))
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.move_on_after(2) as waited:
            await trio.to_thread.run_sync(int)
        nursery.cancel_scope.cancel()
    await bridge.stop()
    return f"{answer}, a thread is free: {not waited.cancelled_caught}"


async def what_it_raises() -> str:
    bridge = AsyncioBridge()
    await bridge.start()
    try:
        await bridge.run_coro(_fail())
    except ZeroDivisionError:
        return "as it is"
    finally:
        await bridge.stop()
    return "lost"


async def _fail() -> None:
    raise ZeroDivisionError


def test_no_thread_waits() -> None:
    assert outcome(fifty_that_wait, stock=False) == "answered, a thread is free: True"


def test_in_the_stock_library_all_do() -> None:
    assert outcome(fifty_that_wait, stock=True) == "answered, a thread is free: False"


def test_what_a_call_raises_arrives() -> None:
    assert outcome(what_it_raises, stock=False) == "as it is"


if __name__ == "__main__":
    play(globals(), webrtc_threads)
