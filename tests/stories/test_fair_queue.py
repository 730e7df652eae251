"""Made-up origins cost nothing, connections little: a stranger who asks for much keeps nobody else waiting."""

from __future__ import annotations

from collections.abc import Sequence

from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.domain.content.cid import parse_cid
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.pin import Request
from pinning_worker.domain.topic.requests import Ask
from tests import content
from tests.stories.world import World, terms


async def ask_for_nothing(
    w: World, requests: int, *, origins: int = 1, connections: int = 1, address: str = ""
) -> None:
    """So many CIDs that nobody has, signed by made-up origins in turn, handed to us by connections in turn."""
    for number in range(requests):
        nowhere, _ = content.file(content.noise(50, number))
        origin, connection = f"origin {number % origins}", f"attacker {number % connections}"
        await w.life.asked(Ask(nowhere, str(nowhere)), PeerId(origin), PeerId(connection), address)
    await w.settle()
    w.hear()


async def test_made_up_origins_behind_two_connections_keep_nobody_waiting(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"one small picture")
    async with World().running() as w:
        await ask_for_nothing(w, 200, origins=12, connections=2)
        w.offer(blocks, "honest")
        await w.say(f"NEW-CID:{cid}", peer="honest")
        await w.later(seconds=10)
        assert [m["status"] for m in w.hear() if m["cid"] == str(cid)] == ["ADDING-CID"]


async def test_many_connections_from_one_address_are_one(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"one small picture")
    async with World(terms(fetches_at_once=4)).running() as w:
        await ask_for_nothing(w, 200, origins=100, connections=32, address="203.0.113.7")
        w.offer(blocks, "honest")
        await w.say(f"NEW-CID:{cid}", peer="honest")
        assert [m["status"] for m in w.hear() if m["cid"] == str(cid)] == ["ADDING-CID"]


async def test_many_connections_that_were_served_come_after_one_that_was_not(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"one small picture")
    async with World().running() as w:
        await ask_for_nothing(w, 200, origins=40, connections=20)
        await w.later(minutes=1)
        w.hear()
        w.offer(blocks, "honest")
        await w.say(f"NEW-CID:{cid}", peer="honest")
        await w.later(seconds=10)
        assert [m["status"] for m in w.hear() if m["cid"] == str(cid)] == ["ADDING-CID"]


async def test_a_start_forgets_nobodys_share(autojump_clock: MockClock) -> None:
    cid, _ = content.file(b"one small picture")
    world = World()
    async with world.running() as w:
        await ask_for_nothing(w, 100, origins=12)
    async with world.running() as w:
        await w.say(f"NEW-CID:{cid}", peer="origin 99", through="attacker 0")
        (refused,) = w.hear()
        assert refused["message"] == "too many requests that came through the same peer as yours are waiting"


async def test_in_a_full_queue_the_greediest_makes_room(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"one small picture")
    async with World(terms(queue_size=20)).running() as w:
        await ask_for_nothing(w, 20, origins=20, connections=2)
        w.offer(blocks, "honest")
        await w.say(f"NEW-CID:{cid}", peer="honest")
        (displaced,) = w.hear()
        assert (displaced["code"], displaced["message"], displaced["retryAfterSeconds"]) == (
            "BUSY",
            "the queue is full, and others have less in it",
            30,
        )
        assert await w.books.active_requests(paid_for=False) == 20
        await w.later(seconds=10)
        assert [m["status"] for m in w.hear() if m["cid"] == str(cid)] == ["ADDING-CID"]
        assert await w.books.request(parse_cid(displaced["cid"]).key) is None, "it leaves no row behind"


async def test_who_has_one_request_in_a_full_queue_keeps_it(autojump_clock: MockClock) -> None:
    async with World(terms(queue_size=20)).running() as w:
        await ask_for_nothing(w, 20, origins=20, connections=20)
        cid, _ = content.file(b"one more")
        await w.say(f"NEW-CID:{cid}", peer="newcomer")
        (refused,) = w.hear()
        assert (refused["cid"], refused["message"]) == (str(cid), "the queue is full")


class CountingBooks(MemoryBooks):
    reads = 0

    async def waiting(self, limit: int, *, paid_for: bool) -> Sequence[Request]:
        self.reads += not paid_for
        return await MemoryBooks.waiting(self, limit, paid_for=paid_for)


async def test_whoever_asks_in_vain_costs_no_look_at_the_whole_queue(autojump_clock: MockClock) -> None:
    books = CountingBooks()
    async with World(books=books).running() as w:
        await ask_for_nothing(w, 200, origins=12, connections=2)
        books.reads = 0
        for number in range(1_000):
            nowhere, _ = content.file(content.noise(60, number))
            await w.life.asked(
                Ask(nowhere, str(nowhere)), PeerId(f"origin {number % 12}"), PeerId(f"attacker {number % 2}")
            )
        await w.settle()
        assert [m["code"] for m in w.hear()] == ["BUSY"] * 1_000
        assert books.reads <= 2


async def test_a_stranger_who_asks_for_the_same_takes_no_turn_away(autojump_clock: MockClock) -> None:
    """It is fetched as soon as any of its askers has a turn, and whoever has it is among those who are asked for it."""
    cid, blocks = content.file(b"one small picture")
    async with World(terms(fetches_at_once=4)).running() as w:
        await ask_for_nothing(w, 100)
        await w.later(seconds=1)
        await w.say(f"NEW-CID:{content.file(b'slow')[0]}", peer="someone")
        await w.say(f"NEW-CID:{content.file(b'slower')[0]}", peer="someone else")
        w.offer(blocks, "honest")
        await w.say(f"NEW-CID:{cid}", peer="honest")
        await w.say(f"NEW-CID:{cid}", peer="origin 0", through="attacker 0")
        await w.later(seconds=10)
        answers = [m["status"] for m in w.hear() if m["cid"] == str(cid)]
        assert answers.count("ADDING-CID") == 1, answers


async def test_alone_a_fetch_of_nothing_has_all_its_time(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        await ask_for_nothing(w, 1)
        await w.later(seconds=29)
        assert set(w.hear_statuses()) == {"FETCHING-CID"}
        await w.later(seconds=2)
        assert [m["code"] for m in w.hear() if m["status"] == "ERROR"] == ["NOT_FOUND"]


async def test_the_longer_ones_own_queue_the_shorter_the_patience_for_each(autojump_clock: MockClock) -> None:
    async def not_found_in_half_a_minute(requests: int) -> int:
        async with World().running() as w:
            await ask_for_nothing(w, requests)
            await w.later(seconds=29)
            return [m.get("code") for m in w.hear()].count("NOT_FOUND")

    assert [await not_found_in_half_a_minute(requests) for requests in (4, 8, 40)] == [0, 4, 16]


async def test_who_gives_a_block_now_and_then_has_no_place_for_ever(autojump_clock: MockClock) -> None:
    """One block at a time, each just in time: after a minute it is the turn of somebody who has less."""
    cid, blocks = content.file(b"one small picture")
    async with World().running() as w:
        for number in range(8):
            large, many = content.file(content.noise(3_000, number), chunk=100)
            w.offer(many, "slow")
            await w.life.asked(Ask(large, str(large)), PeerId(f"origin {number}"), PeerId(f"slow {number % 2}"))
        w.fetcher.seconds_per_block = 10
        await w.later(seconds=30)
        w.hear()
        w.offer(blocks, "honest")
        await w.say(f"NEW-CID:{cid}", peer="honest")
        await w.later(seconds=45)
        heard = w.hear()
        assert [m["status"] for m in heard if m["cid"] == str(cid)][-1] == "ADDING-CID"
        assert [m["code"] for m in heard if m["status"] == "ERROR"] == ["TIMEOUT"]  # what it has is kept for the retry


async def test_many_networks_of_one_site_are_one(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"one small picture")
    async with World(terms(queue_size=20)).running() as w:
        for number in range(20):
            nowhere, _ = content.file(content.noise(50, number))
            address = f"2001:db8:1:{number:x}::/64"
            await w.life.asked(
                Ask(nowhere, str(nowhere)), PeerId(f"origin {number}"), PeerId(f"attacker {number}"), address
            )
        await w.settle()
        w.hear()
        w.offer(blocks, "honest")
        await w.say(f"NEW-CID:{cid}", peer="honest")
        await w.later(seconds=10)
        assert [m["status"] for m in w.hear() if m["cid"] == str(cid)] == ["ADDING-CID"]
