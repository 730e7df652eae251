"""Readers who take nothing: how many of them it takes to keep another waiting, and what they leave behind."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap.places import QUICK_SECONDS, UNTAKEN, NoPlace, Places, Speed
from pinning_worker.adapters.p2p.bitswap.server import SENDERS, SLOW, STALLED, Server
from pinning_worker.adapters.p2p.bitswap.wire import Message, Want
from pinning_worker.adapters.p2p.frames import WRITE_SECONDS
from pinning_worker.domain.identities import PeerId
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

    async def open_stream(peer: PeerId) -> Any:
        return honest if peer == "honest" else Reader(takes=False)

    blocks = MemoryBlocks()
    cid = await add(blocks, RAW, bytes(5000))
    async with trio.open_nursery() as nursery:
        server = Server(blocks, open_stream, nursery.start_soon)
        for number in range(SENDERS):
            server.receive(PeerId(f"takes nothing {number}"), Message([Want(cid.binary)]))
        await trio.testing.wait_all_tasks_blocked()
        server.receive(PeerId("honest"), Message([Want(cid.binary)]))
        with trio.fail_after(WRITE_SECONDS / 2):
            await honest.served.wait()
        nursery.cancel_scope.cancel()


async def test_places_are_given_back_quick_or_slow_finished_or_failed(autojump_clock: MockClock) -> None:
    places = Places(1, 1, 1)

    async def send(speed: Speed, seconds: float, error: Exception | None) -> None:
        async with places.one(speed):
            await trio.sleep(seconds)
            if error:
                raise error

    with trio.fail_after(30 * QUICK_SECONDS):
        for speed in Speed:
            for seconds in (0, QUICK_SECONDS + 1) * 2:
                await send(speed, seconds, None)
                with pytest.raises(OSError, match="lost"):
                    await send(speed, seconds, OSError("lost"))


async def test_when_the_slow_places_are_taken_whoever_is_slow_gives_up_its_quick_one(autojump_clock: MockClock) -> None:
    places, given_up = Places(1, 1, 1), 0

    async def hold() -> None:
        nonlocal given_up
        try:
            async with places.one():
                await trio.sleep_forever()
        except NoPlace:
            given_up += 1

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(hold)
        await trio.sleep(10 * QUICK_SECONDS)
        assert given_up == 3
        with trio.fail_after(1):
            async with places.one():
                pass
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("pieces", "seconds", "speed"),
    [(9, 0, Speed.QUICK), (9, QUICK_SECONDS + 1, Speed.SLOW), (UNTAKEN, QUICK_SECONDS + 1, Speed.STALLED)],
)
async def test_the_speed_of_a_peer_is_that_of_its_last_message(
    pieces: int, seconds: float, speed: Speed, autojump_clock: MockClock
) -> None:
    """A piece that fits into the first window of a stream goes there whether anybody reads or not."""
    async with Places(1, 1, 1).one(Speed.SLOW) as place:
        for _ in range(pieces):
            place.took()
        await trio.sleep(seconds)
    assert place.speed is speed


async def test_a_hundred_who_take_nothing_hold_few_messages_and_are_served_last(autojump_clock: MockClock) -> None:
    writing, most, honest = 0, 0, Reader(takes=True)

    class Stalled(Reader):
        async def write(self, data: bytes) -> None:
            nonlocal writing, most
            writing += 1
            most = max(most, writing)
            try:
                await trio.sleep_forever()
            finally:
                writing -= 1

    async def open_stream(peer: PeerId) -> Any:
        return honest if peer == "honest" else Stalled(takes=False)

    blocks = MemoryBlocks()
    cid = await add(blocks, RAW, bytes(5000))
    async with trio.open_nursery() as nursery:
        server = Server(blocks, open_stream, nursery.start_soon)
        for number in range(100):
            server.receive(PeerId(f"takes nothing {number}"), Message([Want(cid.binary)]))
        await trio.sleep(100)
        assert most <= SENDERS + SLOW + STALLED
        assert writing <= STALLED + SLOW
        server.receive(PeerId("honest"), Message([Want(cid.binary)]))
        with trio.fail_after(QUICK_SECONDS):
            await honest.served.wait()
        nursery.cancel_scope.cancel()
