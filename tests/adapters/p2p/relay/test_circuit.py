"""A circuit between two streams: what ends it, and when."""

from __future__ import annotations

from functools import partial
from typing import cast

import pytest
import trio
import trio.testing
from libp2p.abc import INetStream
from trio.testing import MockClock

from pinning_worker.adapters.p2p.relay.circuit import IDLE_SECONDS, STALL_SECONDS, carry

PLENTY = 1 << 20


class End:
    """One peer's stream as the relay has it. The peer `says` a piece every so many seconds, and takes what comes to it;
    `takes`: seconds for a piece."""

    def __init__(self, says: int = 0, *, every: float = 0, takes: float = 0, hangs_up: bool = False) -> None:
        self.taken = b""
        self.ended = ""
        self._left, self._every, self._takes, self._hangs_up = says, every, takes, hangs_up

    async def read(self, _n: int | None = None) -> bytes:
        if self._left == 0:
            await trio.sleep(0 if self._hangs_up else 10 * IDLE_SECONDS)
            return b""
        await trio.sleep(self._every)
        self._left -= 1
        return b"piece"

    async def write(self, data: bytes) -> None:
        await trio.sleep(self._takes)
        self.taken += data

    async def close_write(self) -> None: ...

    async def close(self) -> None:
        self.ended = "closed"

    async def reset(self) -> None:
        self.ended = "reset"


async def seconds_of(one: End, other: End, most_bytes: int = PLENTY) -> float:
    began = trio.current_time()
    await carry(cast("INetStream", one), cast("INetStream", other), most_bytes, lambda _amount: None)
    assert one.ended == other.ended
    return trio.current_time() - began


async def test_a_circuit_on_which_nothing_moves_ends_after_a_while(autojump_clock: MockClock) -> None:
    one, other = End(), End()
    assert await seconds_of(one, other) == pytest.approx(IDLE_SECONDS)
    assert one.ended == "reset"


async def test_now_and_then_a_piece_each_way_keeps_a_circuit(autojump_clock: MockClock) -> None:
    one, other = End(3, every=IDLE_SECONDS - 1), End(3, every=IDLE_SECONDS - 1)
    assert await seconds_of(one, other) == pytest.approx(3 * (IDLE_SECONDS - 1) + IDLE_SECONDS)
    assert (one.taken, other.taken) == (b"piece" * 3, b"piece" * 3)


async def test_a_peer_that_takes_nothing_ends_its_circuit(autojump_clock: MockClock) -> None:
    one, other = End(1), End(takes=10 * STALL_SECONDS)
    assert await seconds_of(one, other) == pytest.approx(STALL_SECONDS)
    assert one.ended == "reset"


async def test_a_slow_peer_keeps_its_circuit_and_slows_the_other_down(autojump_clock: MockClock) -> None:
    one, other = End(5, hangs_up=True), End(takes=STALL_SECONDS - 1, hangs_up=True)
    assert await seconds_of(one, other) == pytest.approx(5 * (STALL_SECONDS - 1))
    assert (other.taken, one.ended) == (b"piece" * 5, "closed")


@pytest.mark.parametrize(("most", "carried"), [(10, 2), (14, 2), (15, 3)])
async def test_a_circuit_ends_when_it_has_carried_its_bytes(most: int, carried: int, autojump_clock: MockClock) -> None:
    one, other = End(5, every=1), End()
    await seconds_of(one, other, most)
    assert (other.taken, one.ended) == (b"piece" * carried, "reset")


async def test_what_is_cancelled_leaves_no_stream_open(autojump_clock: MockClock) -> None:
    one, other = End(), End()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(seconds_of, one, other))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert (one.ended, other.ended) == ("reset", "reset")
