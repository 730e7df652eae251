"""One peer's thousand requests delay nobody else's one."""

from __future__ import annotations

from datetime import UTC, datetime

from trio.testing import MockClock

from pinning_worker.domain.pin import Asker, Request, State
from pinning_worker.domain.requests import Ask
from pinning_worker.steps.fair_share import fair_choice
from tests import content
from tests.stories.world import World, terms

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def wants(peer: str, number: int) -> Request:
    asker = Asker("bafy", None, 1, peer)
    return Request(f"{peer}{number}".encode(), State.REQUESTED, NOW, askers=(asker,) if peer else ())


def names(requests: list[Request]) -> list[str]:
    return [request.root.decode() for request in requests]


def test_nobody_has_more_than_half_of_the_places() -> None:
    waiting = [wants("a", n) for n in range(50)]
    assert names(fair_choice(waiting, {}, 8)) == ["a0", "a1", "a2", "a3"]
    assert fair_choice(waiting[4:], {f"a{n}".encode(): "a" for n in range(4)}, 8) == []
    assert names(fair_choice(waiting, {}, 1)) == ["a0"]


def test_the_peer_with_the_fewest_running_is_next_then_the_longest_waiting() -> None:
    waiting = [*(wants("a", n) for n in range(9)), *(wants("b", n) for n in range(9)), wants("c", 0), wants("", 0)]
    running = {b"a7": "a", b"a8": "a", b"b8": "b"}
    assert names(fair_choice(waiting, running, 7)) == ["c0", "0", "b0", "a0"]


async def test_a_thousand_requests_of_one_peer_and_one_of_another(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"one small picture")
    async with World(terms(fetches_at_once=4)).running() as w:
        w.offer(blocks, "modest")
        for seed in range(1_000):
            nowhere, _ = content.file(content.noise(50, seed))
            await w.life.asked(Ask(nowhere, str(nowhere)), "greedy", "greedy")
        await w.settle()
        w.hear()
        await w.say(f"NEW-CID:{cid}", peer="modest")
        assert w.hear_statuses() == ["ADDING-CID"]  # with no time gone by, while the other's wait for their blocks


async def test_to_ask_again_while_one_waits_loses_no_place(autojump_clock: MockClock) -> None:
    waiting = [content.file(content.noise(50, seed))[0] for seed in range(4)]
    async with World(terms(fetches_at_once=1)).running() as w:
        for cid in waiting:
            await w.say(f"NEW-CID:{cid}")
            await w.later(seconds=1)
        for _ in range(12):
            await w.later(seconds=5)
            if waiting[1] not in w.fetcher.fetches:
                await w.say(f"NEW-CID:{waiting[1]}")  # as a browser does that has heard nothing yet
        assert w.fetcher.fetches[:2] == waiting[:2]
