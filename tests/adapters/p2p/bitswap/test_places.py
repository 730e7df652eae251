"""Readers who take nothing: how many of them it takes to keep another waiting, and what they leave behind."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap.places import QUICK, Places
from pinning_worker.adapters.p2p.bitswap.server import SENDERS, Server
from pinning_worker.adapters.p2p.bitswap.wire import Message, Want
from pinning_worker.adapters.p2p.frames import WRITE
from tests.adapters.p2p.bitswap.rig import add
from tests.domain.dagpb import RAW


class Reader:
    """A stream to a peer that takes all at once, or nothing ever."""

    def __init__(self, *, takes: bool) -> None:
        self.served = trio.Event()
        self._takes = takes

    async def write(self, data: bytes) -> None:
        if not self._takes:
            await trio.sleep_forever()
        self.served.set()

    async def read(self, n: int | None = None) -> bytes:
        raise AssertionError("nobody reads here")

    async def close(self) -> None: ...

    async def reset(self) -> None: ...


async def test_a_crowd_that_takes_nothing_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    """As many as there are places; before their deadlines are over somebody else is served."""
    honest = Reader(takes=True)

    async def open_stream(peer: str) -> Any:
        return honest if peer == "honest" else Reader(takes=False)

    blocks = MemoryBlocks()
    cid = await add(blocks, RAW, bytes(5000))
    async with trio.open_nursery() as nursery:
        server = Server(blocks, open_stream, nursery.start_soon)
        for number in range(SENDERS):
            server.hear(f"takes nothing {number}", Message([Want(cid.binary)]))
        await trio.testing.wait_all_tasks_blocked()
        server.hear("honest", Message([Want(cid.binary)]))
        with trio.fail_after(WRITE / 2):
            await honest.served.wait()
        nursery.cancel_scope.cancel()


async def test_places_are_given_back_quick_or_slow_finished_or_failed(autojump_clock: MockClock) -> None:
    places = Places(1, 1)

    async def send(seconds: float, error: Exception | None) -> None:
        async with places.one():
            await trio.sleep(seconds)
            if error:
                raise error

    with trio.fail_after(20 * QUICK):
        for seconds in (0, QUICK + 1) * 3:
            await send(seconds, None)
            with pytest.raises(OSError, match="lost"):
                await send(seconds, OSError("lost"))


async def test_when_the_slow_places_are_taken_the_slow_keep_their_quick_ones(autojump_clock: MockClock) -> None:
    places = Places(1, 1)
    inside = 0

    async def hold() -> None:
        nonlocal inside
        async with places.one():
            inside += 1
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(hold)
        await trio.sleep(10 * QUICK)
        assert inside == 2
        nursery.cancel_scope.cancel()
