"""One peer's thousand requests delay nobody else's one."""

from __future__ import annotations

from datetime import UTC, datetime

from trio.testing import MockClock

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.pin import Asker, Request, Share, State
from pinning_worker.domain.topic.requests import Ask
from pinning_worker.steps.fair_share import PAID_FOR, Served, Waiting, fair_choice
from tests import content
from tests.stories.world import World, terms

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def share(peer: str, through: str = "", address: str = "") -> Share:
    return Asker("bafy", None, 1, PeerId(peer), (), PeerId(through), address).share if peer else PAID_FOR


def wants(peer: str, number: int, through: str = "", address: str = "") -> Request:
    asker = Asker("bafy", None, 1, PeerId(peer), (), PeerId(through), address)
    return Request(Root(f"{peer}{number}".encode()), State.REQUESTED, NOW, askers=(asker,) if peer else ())


def chosen(waiting: list[Request], running: dict[Root, Share], places: int, served: Served | None = None) -> list[str]:
    paid, asked = [r for r in waiting if not r.askers], [r for r in waiting if r.askers]
    choice = fair_choice(Waiting(paid, asked), running, places, served or Served())
    return [request.root.decode() for request, _ in choice]


def test_nobody_has_more_than_half_of_the_places() -> None:
    waiting = [wants("a", n) for n in range(50)]
    assert chosen(waiting, {}, 8) == ["a0", "a1", "a2", "a3"]
    assert chosen(waiting[4:], {Root(f"a{n}".encode()): share("a") for n in range(4)}, 8) == []
    assert chosen(waiting, {}, 1) == ["a0"]


def test_the_share_with_the_fewest_running_is_next_then_what_is_paid_for_then_the_longest_waiting() -> None:
    waiting = [*(wants("a", n) for n in range(9)), *(wants("b", n) for n in range(9)), wants("c", 0), wants("", 0)]
    running = {Root(b"a7"): share("a"), Root(b"a8"): share("a"), Root(b"b8"): share("b")}
    assert chosen(waiting, running, 7) == ["0", "c0", "b0", "a0"]


def test_addresses_come_before_connections_and_connections_before_peers() -> None:
    waiting = [wants(f"m{n}", 0, f"c{n % 3}", "203.0.113.7") for n in range(9)] + [wants("d", 0), wants("d", 1)]
    assert chosen(waiting, {}, 8) == ["m00", "d0", "m10", "d1", "m20", "m30"], "half of all for one address"


def test_among_equals_whoever_was_served_longest_ago_is_next() -> None:
    served = Served()
    for peer in ("a", "b"):
        served.note(share(peer))
    waiting = [wants("b", 0), wants("a", 0), wants("c", 0)]
    assert chosen(waiting, {}, 3, served) == ["c0", "a0", "b0"]


async def test_a_thousand_requests_of_one_peer_and_one_of_another(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"one small picture")
    async with World(terms(fetches_at_once=4)).running() as w:
        w.offer(blocks, "modest")
        for seed in range(1_000):
            nowhere, _ = content.file(content.noise(50, seed))
            await w.life.asked(Ask(nowhere, str(nowhere)), PeerId("greedy"), PeerId("greedy"))
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
