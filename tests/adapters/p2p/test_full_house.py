"""A host whose places are all taken by silent strangers: whoever wants something gets in, and who is of use stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from pinning_worker.adapters.p2p.bounds import eviction
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import NEWCOMERS, HostConfig, OpenHost, open_host
from tests.adapters.p2p.dialling_from import dialling_from

ANYWHERE = ("/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0/ws")
PLACES = 6


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "GRACE_SECONDS", 0.0)


class House:
    """`crowd` are those who came, in order."""

    def __init__(self, host: OpenHost, stack: AsyncExitStack) -> None:
        self.host = host
        self.crowd: list[OpenHost] = []
        self._stack = stack
        self.port = int(host.listening[0].value_for_protocol("tcp"))

    async def come(self, ip: str) -> OpenHost:
        guest = await self._stack.enter_async_context(open_host(HostConfig(new_key(), ())))
        with dialling_from(ip):
            await guest.connect(f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.host.peer_id}", deadline=10)
        self.crowd.append(guest)
        await self.until(lambda: self.host.is_connected(guest.peer_id))
        return guest

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(10):
            while not holds():
                await self.host.changed()

    def inside(self) -> list[bool]:
        return [self.host.is_connected(guest.peer_id) for guest in self.crowd]


@asynccontextmanager
async def house(**more: object) -> AsyncIterator[House]:
    places = PLACES + NEWCOMERS + 1
    config = HostConfig(new_key(), ANYWHERE, max_connections=places, kept_for_dialling=1, **more)  # type: ignore[arg-type]  # any field
    async with AsyncExitStack() as stack:
        yield House(await stack.enter_async_context(open_host(config)), stack)


async def test_a_newcomer_takes_the_place_of_the_oldest_silent_one() -> None:
    async with house() as there:
        for number in range(PLACES):
            await there.come(f"127.0.0.{2 + number % 2}")
        there.host.note_use(there.crowd[0].peer_id)
        honest = await there.come("127.0.0.9")
        await there.until(lambda: there.inside().count(True) == PLACES)
        assert there.inside() == [True, False, True, True, True, True, True]
        assert there.host.is_connected(honest.peer_id)


async def test_when_all_are_of_use_the_address_that_has_the_most_makes_room() -> None:
    async with house() as there:
        for number in range(PLACES):
            await there.come(f"127.0.0.{2 + min(number, 2)}")
        for guest in there.crowd:
            there.host.note_use(guest.peer_id)
        await there.come("127.0.0.9")
        await there.until(lambda: there.inside().count(True) == PLACES)
        assert there.inside() == [True, True, False, True, True, True, True]


async def test_who_has_most_of_the_places_pushes_nobody_out() -> None:
    async with house() as there:
        for number in range(PLACES):
            await there.come(f"127.0.0.{2 + min(number, 1)}")
        with suppress(CannotConnect):  # it may be sent away before it knows that it is connected
            await there.come("127.0.0.3")
        await there.until(lambda: len(there.host.peers()) == PLACES)
        assert there.inside()[:PLACES] == [True] * PLACES


async def test_sockets_that_say_nothing_push_nobody_out() -> None:
    async with house() as there, AsyncExitStack() as sockets:
        for number in range(PLACES):
            await there.come(f"127.0.0.{2 + number}")
        for number in range(30):
            stream = await trio.open_tcp_stream("127.0.0.1", there.port, local_address=f"127.0.0.{30 + number}")
            await sockets.enter_async_context(stream)
            await stream.send_all(b"\x13/multistream/1.0.0\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert there.inside() == [True] * PLACES
        await there.come("127.0.0.99")
        await there.until(lambda: len(there.host.peers()) == PLACES)
        assert there.inside() == [False, *[True] * PLACES], "it wants something, and the oldest does not"
