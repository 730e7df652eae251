"""What is quoted and not paid: one stranger neither fills the quota nor keeps it for ever, nor pushes others out."""

from __future__ import annotations

from trio.testing import MockClock

from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.topic.requests import Ask
from tests import content
from tests.stories.world import World, budget, terms

SIZE = 150_000
SMALL = terms(staging_quota=1_000_000, budget=budget(max_bytes=200_000))


def pictures(count: int) -> list[tuple[Cid, content.Blocks]]:
    return [content.file(content.noise(SIZE, number)) for number in range(count)]


async def fill(w: World, greedy: list[tuple[Cid, content.Blocks]], *, connections: int = 1, address: str = "") -> None:
    for number, (cid, blocks) in enumerate(greedy):
        w.offer(blocks, "greedy")
        connection = f"greedy {number % connections}"
        await w.life.asked(Ask(cid, str(cid)), PeerId(f"made up {number}"), PeerId(connection), address)
        await w.settle()


async def quoted_for_a_newcomer(w: World) -> bool:
    cid, blocks = content.file(content.noise(SIZE, 99))
    w.offer(blocks, "honest")
    w.hear()
    await w.say(f"NEW-CID:{cid}", peer="honest")
    return w.hear_statuses() == ["ADDING-CID"]


async def test_one_connection_leaves_half_of_the_quota(autojump_clock: MockClock) -> None:
    async with World(SMALL).running() as w:
        await fill(w, pictures(10))
        assert [m.get("code", m["status"]) for m in w.hear()] == ["ADDING-CID"] * 3 + ["BUSY"] * 7
        assert await quoted_for_a_newcomer(w)


async def test_many_connections_from_one_address_leave_half_of_it_too(autojump_clock: MockClock) -> None:
    async with World(SMALL).running() as w:
        await fill(w, pictures(10), connections=10, address="203.0.113.7")
        assert await quoted_for_a_newcomer(w)


async def test_many_networks_of_one_site_leave_half_of_it_too(autojump_clock: MockClock) -> None:
    """One customer is given a /48: 65 536 IPv6 addresses as they are counted."""
    async with World(SMALL).running() as w:
        for number, picture in enumerate(pictures(10)):
            await fill(w, [picture], address=f"2001:db8:1:{number:x}::/64")
        assert [m.get("code", m["status"]) for m in w.hear()] == ["ADDING-CID"] * 3 + ["BUSY"] * 7
        assert await quoted_for_a_newcomer(w)


async def test_a_start_does_not_forget_for_whom_the_quota_is_used(autojump_clock: MockClock) -> None:
    world = World(SMALL)
    greedy = pictures(10)
    async with world.running() as w:
        await fill(w, greedy[:3])
    async with world.running() as w:
        await fill(w, greedy[3:])
        assert [m.get("code") for m in w.hear()][3:] == ["BUSY"] * 7
        assert await quoted_for_a_newcomer(w)


async def test_two_messages_a_day_hold_what_nobody_pays_for_three_quotes_long(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(SIZE))
    async with World(SMALL).running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        for half_day in range(5):
            await w.pass_time(hours=12)
            await w.life.asked(Ask(cid, str(cid), months=half_day % 7 + 1), PeerId("greedy"), PeerId("greedy"))
        await w.pass_time(hours=11)
        assert await w.blocks_on_disk() == set(blocks)
        await w.pass_time(hours=2)
        assert await w.blocks_on_disk() == set()
        assert await w.books.unpaid_room() == {}


async def test_a_price_is_still_told_until_the_hold_ends_and_then_when_to_ask_again(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(SIZE))
    async with World(SMALL).running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        for _ in range(2):
            await w.later(hours=23)
            await w.life.asked(Ask(cid, str(cid), months=3), PeerId("honest"), PeerId("honest"))
            await w.later(hours=1)
        await w.later(hours=20)
        w.hear()
        await w.say(f"NEW-CID:{cid}")  # its quote for 8 months has lapsed: a new one, for what is left
        (quote,) = w.hear()
        assert quote["quote"]["expires"] == "2026-11-23T12:00:00.000Z"
        await w.later(hours=3.5)
        await w.life.asked(Ask(cid, str(cid), months=5), PeerId("honest"), PeerId("honest"))
        await w.settle()
        (refused,) = w.hear()
        assert (refused["code"], refused["retryAfterSeconds"]) == ("BUSY", 1_800)
        await w.pass_time(hours=0.6)  # the lapse waits for the chain's clock too
        fetched = len(w.fetcher.fetches)
        await w.say(f"NEW-CID:{cid}")
        assert w.hear_statuses() == ["ADDING-CID"]
        assert len(w.fetcher.fetches) > fetched, "fetched anew"


async def test_twenty_typed_requests_push_nobody_out(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"wanted by many")
    async with World().running() as w:
        w.fetcher.seconds_per_block = 10
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}", peer="honest")
        for number in range(25):
            await w.life.asked(Ask(cid, str(cid), id=f"r{number}"), PeerId(f"made up {number}"), PeerId("stranger"))
        await w.later(seconds=15)
        answered = [m.get("id") for m in w.hear() if m["status"] == "ADDING-CID"]
        assert len(answered) == 20
        assert answered[0] is None
