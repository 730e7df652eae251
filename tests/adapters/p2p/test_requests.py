"""Whose requests reach the stories, when some ask too much: by origin, by connection, and in all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from trio.testing import MockClock

from pinning_worker.adapters.p2p.bounds.intake import Heard
from pinning_worker.adapters.p2p.bounds.request_budget import MINUTE_SECONDS, MOST_ORIGINS, Minute, RequestBudget
from pinning_worker.adapters.p2p.gossip.intake import Intake
from pinning_worker.adapters.p2p.gossip.request_reader import READERS, RequestReader
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.topic.listing import BadList
from pinning_worker.domain.topic.requests import Ask, BadAsk, ListRequest
from pinning_worker.ports.world import DiskFull
from tests import content


class Told:
    """The calls that reached the stories: the askers, and the ones that got BUSY."""

    def __init__(self) -> None:
        self.asked_by: list[str] = []
        self.refused: list[str] = []
        self.again: list[int | None] = []
        self.list_errors: list[str] = []
        self.trouble = False

    async def asked(self, _ask: Ask, origin: PeerId, _forwarder: PeerId, _address: str) -> None:
        if self.trouble:
            raise DiskFull("no room")
        self.asked_by.append(origin)

    async def ill_asked(self, bad: BadAsk) -> None:
        self.refused.append(bad.code)
        self.again.append(bad.retry_after)

    async def listed(self, request: ListRequest) -> None:
        if isinstance(request.asked, BadList):
            self.list_errors.append(str(request.asked))
        else:
            self.asked_by.append("a LIST")


MANY = 1_000_000


@asynccontextmanager
async def reading(budget: RequestBudget) -> AsyncIterator[tuple[Intake, Told]]:
    intake, told = Intake(), Told()
    reader = RequestReader(intake, budget, told.asked, told.ill_asked, told.listed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.run)
        yield intake, told
        nursery.cancel_scope.cancel()


ASK = f"NEW-CID:{content.file(b'a picture')[0]}"
LIST = '{"type":"LIST"}'


async def say(
    intake: Intake, origin: str, forwarder: str, times: int = 1, address: str = "", request: str = ASK
) -> None:
    text = request.encode()
    for _ in range(times):
        intake.put(Heard(PeerId(origin), PeerId(forwarder), text, address))
    await trio.testing.wait_all_tasks_blocked(0.001)


async def test_an_origin_over_its_budget_is_told_once_and_heard_again_a_minute_later(autojump_clock: MockClock) -> None:
    async with reading(RequestBudget(requests_per_peer_per_minute=3, requests_per_minute=MANY)) as (intake, told):
        await say(intake, "greedy", "greedy", times=10)
        assert (told.asked_by, told.refused) == (["greedy"] * 3, ["BUSY"])
        await say(intake, "other", "other")
        assert told.asked_by[3:] == ["other"]
        await trio.sleep(MINUTE_SECONDS)
        await say(intake, "greedy", "greedy")
        assert told.asked_by[4:] == ["greedy"]


async def test_who_asks_too_much_is_told_when_to_ask_again(autojump_clock: MockClock) -> None:
    """Catches: a BUSY without `retryAfterSeconds`, which a client takes for the end; a LIST that gets no answer."""
    async with reading(RequestBudget(requests_per_peer_per_minute=3, requests_per_minute=MANY)) as (intake, told):
        await say(intake, "greedy", "greedy", times=3)
        await trio.sleep(10.5)
        await say(intake, "greedy", "greedy", times=5, request=LIST)
        assert told.list_errors == ["too many requests of yours in this minute: ask again in 50 s"]
        await say(intake, "greedy", "greedy", times=5)
        await say(intake, "greedy", "greedy", times=5, request='{"type":"NEW-CID"}')
        assert (told.refused, told.again) == (["BUSY"], [50])
        await trio.sleep(49)
        await say(intake, "greedy", "greedy", request=LIST)
        assert len(told.list_errors) == 1
        await trio.sleep(0.5)
        await say(intake, "greedy", "greedy", times=5, request=LIST)
        await say(intake, "greedy", "greedy", times=5, request='{"type":"NEW-CID"}')
        assert (len(told.list_errors), told.again) == (2, [50, 60])
        assert told.asked_by == ["greedy"] * 3 + ["a LIST"] * 3


async def test_made_up_origins_get_no_more_answers_by_asking_too_much(autojump_clock: MockClock) -> None:
    """Catches: a stranger who makes the worker publish an ERROR for each origin that he makes up."""
    async with reading(RequestBudget(requests_per_peer_per_minute=1, requests_per_minute=20)) as (intake, told):
        for number in range(100):
            for request in (LIST, ASK, LIST):
                await say(intake, f"made up {number}", "attacker", times=2, request=request)
        answers = len(told.asked_by) + len(told.list_errors) + len(told.refused)
        assert answers == 5, "a quarter of all, notices counted"
        await say(intake, "honest", "honest")
        assert told.asked_by[-1] == "honest"


async def test_origins_made_up_behind_one_connection_use_up_a_quarter_of_all(autojump_clock: MockClock) -> None:
    async with reading(RequestBudget(requests_per_peer_per_minute=3, requests_per_minute=20)) as (intake, told):
        for number in range(100):
            await say(intake, f"made up {number}", "attacker")
        assert len(told.asked_by) == 5
        await say(intake, "honest", "honest")
        assert told.asked_by[-1] == "honest"


async def test_many_connections_from_one_address_use_up_half_of_all(autojump_clock: MockClock) -> None:
    async with reading(RequestBudget(requests_per_peer_per_minute=3, requests_per_minute=20)) as (intake, told):
        for number in range(100):
            await say(intake, f"made up {number}", f"attacker {number % 10}", address="203.0.113.7")
        assert len(told.asked_by) == 10
        await say(intake, "honest", "honest", times=3)
        assert told.asked_by[10:] == ["honest"] * 3


async def test_who_asks_little_is_heard_behind_the_address_of_those_who_ask_much(autojump_clock: MockClock) -> None:
    async with reading(RequestBudget(requests_per_peer_per_minute=3, requests_per_minute=2_000)) as (intake, told):
        for number in range(1_200):
            await say(intake, f"made up {number}", f"attacker {number % 2}", address="203.0.113.7")
        assert len(told.asked_by) <= 1_000
        await say(intake, "honest", "honest", times=2, address="203.0.113.7")
        assert told.asked_by[-2:] == ["honest"] * 2


async def test_all_together_have_a_budget(autojump_clock: MockClock) -> None:
    async with reading(RequestBudget(requests_per_peer_per_minute=100, requests_per_minute=20)) as (intake, told):
        for connection in range(30):
            await say(intake, "somebody", f"neighbour {connection}", times=5)
        assert len(told.asked_by) == 20
        await trio.sleep(MINUTE_SECONDS)
        await say(intake, "honest", "honest")
        assert told.asked_by[-1] == "honest"


async def test_trouble_with_some_requests_leaves_every_reader_reading(autojump_clock: MockClock) -> None:
    async with reading(RequestBudget(requests_per_peer_per_minute=100, requests_per_minute=MANY)) as (intake, told):
        told.trouble = True
        await say(intake, "unlucky", "unlucky", times=2 * READERS)
        told.trouble = False
        await say(intake, "next", "next", times=READERS)
        assert told.asked_by == ["next"] * READERS


def test_origins_made_up_are_forgotten() -> None:
    minute = Minute()
    for number in range(MOST_ORIGINS + 10):
        minute.count(str(number), 0.0)
        minute.count("regular", 0.0)
    assert len(minute._counts) == MOST_ORIGINS
    assert minute.count("regular", 0.0) == MOST_ORIGINS + 11
