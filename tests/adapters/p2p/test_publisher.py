"""Pacing: oldest first, at once when there is room, never dropped for haste, never held up by a peer that is stuck."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pinning_worker.adapters.p2p.gossip import publisher
from pinning_worker.adapters.p2p.gossip.publisher import ROOM, STUCK_SECONDS, Publisher


class Peers:
    """Outgoing queues that are emptied only when told to; what they could not take is lost, as in the library."""

    def __init__(self, *names: str) -> None:
        self.queues: dict[str, list[bytes]] = {name: [] for name in names}
        self.lost: dict[str, int] = dict.fromkeys(names, 0)
        self.said: list[bytes] = []

    async def send(self, topic: str, data: bytes) -> None:
        self.said.append(data)
        for name, queue in self.queues.items():
            if len(queue) < 2 * ROOM:
                queue.append(data)
            else:
                self.lost[name] += 1

    async def heard(self, count: int) -> None:
        while len(self.said) < count:  # noqa: ASYNC110  the clock jumps
            await trio.sleep(0.1)

    async def drain(self, name: str, seconds: float) -> None:
        while True:
            await trio.sleep(seconds)
            del self.queues[name][:1]


async def test_one_answer_leaves_at_once(autojump_clock: MockClock) -> None:
    peers = Peers("a")
    async with trio.open_nursery() as nursery:
        out = Publisher(peers.send, lambda: peers.queues)
        nursery.start_soon(out.run)
        await trio.testing.wait_all_tasks_blocked()
        before = trio.current_time()
        out.put("t", b"1")
        await trio.testing.wait_all_tasks_blocked()
        assert (peers.said, trio.current_time() - before) == ([b"1"], 0)
        nursery.cancel_scope.cancel()


async def test_a_burst_loses_nothing_and_keeps_its_order(autojump_clock: MockClock) -> None:
    peers = Peers("fast", "slower")
    async with trio.open_nursery() as nursery:
        out = Publisher(peers.send, lambda: peers.queues)
        nursery.start_soon(out.run)
        nursery.start_soon(peers.drain, "fast", 0.001)
        nursery.start_soon(peers.drain, "slower", 0.01)
        burst = [str(n).encode() for n in range(200)]
        for data in burst:
            assert out.put("t", data)
        await peers.heard(200)
        assert peers.said == burst
        assert peers.lost == {"fast": 0, "slower": 0}
        nursery.cancel_scope.cancel()


async def test_a_standstill_of_our_own_makes_nobody_stuck(autojump_clock: MockClock) -> None:
    """The machine is busy elsewhere: time passes, and neither the queues nor we have had a turn."""
    peers = Peers("fine")
    async with trio.open_nursery() as nursery:
        out = Publisher(peers.send, lambda: peers.queues)
        nursery.start_soon(out.run)
        nursery.start_soon(peers.drain, "fine", 0.01)
        for n in range(200):
            out.put("t", str(n).encode())
        for _ in range(50):
            await trio.sleep(0.005)
            autojump_clock.jump(2 * STUCK_SECONDS)
        await peers.heard(200)
        assert peers.lost == {"fine": 0}
        nursery.cancel_scope.cancel()


async def test_a_peer_that_is_stuck_loses_alone_and_costs_the_others_no_more_than_one_wait(
    autojump_clock: MockClock,
) -> None:
    peers = Peers("fine", "stuck")
    async with trio.open_nursery() as nursery:
        out = Publisher(peers.send, lambda: peers.queues)
        nursery.start_soon(out.run)
        nursery.start_soon(peers.drain, "fine", 0.001)
        before = trio.current_time()
        for n in range(200):
            out.put("t", str(n).encode())
        await peers.heard(200)
        assert trio.current_time() - before < STUCK_SECONDS + 0.6
        assert peers.lost == {"fine": 0, "stuck": 200 - 2 * ROOM}
        peers.queues["stuck"].clear()  # it moves again: it is waited for again
        nursery.start_soon(peers.drain, "stuck", 0.01)
        for n in range(100):
            out.put("t", str(n).encode())
        await peers.heard(300)
        assert peers.lost["stuck"] == 200 - 2 * ROOM
        nursery.cancel_scope.cancel()


def test_what_does_not_fit_is_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MOST_MESSAGES", 2)
    monkeypatch.setattr(publisher, "MOST_BYTES", 10)
    out = Publisher(Peers().send, dict[str, list[bytes]])
    assert [out.put("t", data) for data in (b"x" * 11, b"x", b"x", b"x")] == [False, True, True, False]
    assert out.overflowed == 2


async def test_what_was_said_makes_room_again(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MOST_BYTES", 5)
    peers = Peers()
    async with trio.open_nursery() as nursery:
        out = Publisher(peers.send, lambda: peers.queues)
        nursery.start_soon(out.run)
        for _ in range(3):
            assert out.put("t", b"12345")
            assert not out.put("t", b"6")
            await trio.testing.wait_all_tasks_blocked()
        assert peers.said == [b"12345"] * 3
        nursery.cancel_scope.cancel()


def test_what_is_too_large_for_one_rpc_is_refused() -> None:
    out = Publisher(Peers().send, dict[str, list[bytes]])
    assert [out.put("t", bytes(size)) for size in (publisher.LARGEST, publisher.LARGEST + 1)] == [True, False]
