"""Dialling through a relay: who is reached, and what is said when somebody is not. Helia and Kubo: tests/interop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.network.stream.net_stream import NetStream

from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.host.connections import direct_to
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.adapters.p2p.open_host import HostConfig, OpenHost, open_host
from pinning_worker.adapters.p2p.peer_ids import parse_peer_id
from pinning_worker.adapters.p2p.relay import wire as messages
from pinning_worker.adapters.p2p.relay.hop import RelayCaps
from pinning_worker.adapters.p2p.relay.wire import HOP, HopMessage, Limit, Status
from pinning_worker.domain.identities import PeerId

TCP = "/ip4/127.0.0.1/tcp/0"
WS = "/ip4/127.0.0.1/tcp/0/ws"
DEADLINE = 20.0
Handler = Callable[[INetStream], Awaitable[None]]


@asynccontextmanager
async def open_peer(**more: object) -> AsyncIterator[OpenHost]:
    async with open_host(HostConfig(new_key(), (TCP, WS), **more)) as host:  # type: ignore[arg-type]  # any field
        yield host


@asynccontextmanager
async def open_hidden(relay: OpenHost, **more: object) -> AsyncIterator[tuple[OpenHost, str]]:
    """A host with a place at that relay, and its address there."""
    async with open_peer(bootstrap=(relay.addresses[0],), relays_wanted=1, **more) as host:
        with trio.fail_after(DEADLINE):
            while not (circuits := [each for each in host.addresses if "/p2p-circuit/" in each]):  # noqa: ASYNC110
                await trio.sleep(0.01)
        yield host, circuits[0]


@asynccontextmanager
async def open_babbler(handler: Handler) -> AsyncIterator[OpenHost]:
    """A relay that answers to CONNECT as this handler does."""
    async with open_peer() as host:
        host.raw.set_stream_handler(HOP, handler)
        yield host


def through(relay: OpenHost, peer: PeerId) -> str:
    return f"{relay.addresses[0]}/p2p-circuit/p2p/{peer}"


async def until(happened: Callable[[], bool]) -> None:
    with trio.fail_after(DEADLINE):
        while not happened():  # noqa: ASYNC110  nobody is told of it
            await trio.sleep(0.01)


def streams_to(relay: OpenHost, us: OpenHost) -> int:
    """On our connection to that relay, other than identify's and ping's, which come and go."""
    connection = direct_to(us.swarm, parse_peer_id(relay.peer_id))
    assert connection is not None
    return sum(each.get_protocol() == HOP for each in connection.streams)


@pytest.mark.parametrize("connected", [True, False], ids=["the relay is connected", "the relay is dialled"])
@pytest.mark.parametrize("swarm_key", [None, os.urandom(32)], ids=["open network", "private network"])
async def test_two_of_ours_through_our_relay(connected: bool, swarm_key: bytes | None) -> None:
    async with (
        open_peer(relay=RelayCaps(), swarm_key=swarm_key) as relay,
        open_hidden(relay, swarm_key=swarm_key) as (hidden, circuit),
        open_peer(swarm_key=swarm_key) as caller,
    ):
        assert relay.hop is not None
        if connected:
            await caller.connect(relay.addresses[1], DEADLINE)
        assert await caller.connect(circuit, DEADLINE) == hidden.peer_id
        await until(lambda: hidden.is_connected(caller.peer_id))
        assert set(caller.peers()) == {relay.peer_id, hidden.peer_id}
        assert relay.hop.circuits == 1
        assert relay.hop.carried_bytes > 0
        assert await caller.connect(circuit, deadline=0) == hidden.peer_id  # there is a connection: nothing to wait for
        await caller.disconnect(hidden.peer_id)
        await until(lambda: relay.hop is not None and relay.hop.circuits == 0)
        await until(lambda: not hidden.is_connected(caller.peer_id))
        assert await caller.connect(circuit, DEADLINE) == hidden.peer_id  # and again


async def test_who_comes_through_a_relay_counts_for_the_relay_at_both_ends() -> None:
    async with open_peer(relay=RelayCaps()) as relay, open_hidden(relay) as (hidden, circuit), open_peer() as caller:
        await caller.connect(circuit, DEADLINE)
        await until(lambda: hidden.is_connected(caller.peer_id))
        assert hidden.address_of(caller.peer_id) == relay.peer_id
        assert caller.address_of(hidden.peer_id) == relay.peer_id


async def test_many_who_dial_at_once_share_one_connection_to_the_relay() -> None:
    async with (
        open_peer(relay=RelayCaps()) as relay,
        open_hidden(relay) as (_, first),
        open_hidden(relay) as (_, second),
        open_hidden(relay) as (_, third),
        open_peer() as caller,
    ):
        async with trio.open_nursery() as nursery:
            for circuit in (first, second, third):
                nursery.start_soon(caller.connect, circuit, DEADLINE)
        assert len(caller.swarm.get_connections(parse_peer_id(relay.peer_id))) == 1
        assert len(caller.peers()) == 4


async def test_a_circuit_ends_with_its_relay() -> None:
    async with open_peer() as caller:
        async with open_peer(relay=RelayCaps()) as relay, open_hidden(relay) as (_, circuit):
            await caller.connect(circuit, DEADLINE)
        await until(lambda: caller.peers() == [])
        with pytest.raises(CannotConnect, match="cannot connect to the relay"):
            await caller.connect(circuit, DEADLINE)


async def test_who_has_no_place_is_not_reached_and_the_reason_is_told() -> None:
    async with open_peer(relay=RelayCaps()) as relay, open_peer() as caller:
        with pytest.raises(CannotConnect, match=r"that peer has no place there \(NO_RESERVATION\)"):
            await caller.connect(through(relay, peer_id_of(new_key())), DEADLINE)
        assert caller.peers() == [relay.peer_id]
        await until(lambda: streams_to(relay, caller) == 0)


async def test_who_is_no_relay_says_so() -> None:
    async with open_peer() as plain, open_peer() as caller:
        with pytest.raises(CannotConnect, match="or is none"):
            await caller.connect(through(plain, peer_id_of(new_key())), DEADLINE)
        with pytest.raises(CannotConnect, match="we are that relay ourselves"):
            await plain.connect(through(plain, peer_id_of(new_key())), DEADLINE)


async def say(stream: INetStream, status: Status.ValueType, limit: Limit | None = None) -> None:
    await messages.read_message(stream, HopMessage)
    await messages.write_message(stream, HopMessage(type=HopMessage.STATUS, status=status, limit=limit))


async def limited(stream: INetStream) -> None:
    await say(stream, Status.OK, Limit(duration=120, data=131072))


async def full(stream: INetStream) -> None:
    await say(stream, Status.RESOURCE_LIMIT_EXCEEDED)


async def from_the_future(stream: INetStream) -> None:
    await messages.read_message(stream, HopMessage)
    await stream.write(b"\x05\x08\x02\x28\xe7\x07")  # STATUS 999


async def garbage(stream: INetStream) -> None:
    await stream.write(b"\x10" + b"\xff" * 16)


async def ends_at_once(stream: INetStream) -> None:
    await stream.close()


async def ends_in_the_handshake(stream: INetStream) -> None:
    await say(stream, Status.OK)
    await stream.read(10)
    await stream.reset()


async def ends_after_the_handshake_has_begun(stream: INetStream) -> None:
    await say(stream, Status.OK)
    await cast("NetStream", stream).close_write()


async def plays_the_peer(stream: INetStream) -> None:
    """An echo: whatever it is, it is not the peer that was asked for."""
    await say(stream, Status.OK)
    while data := await stream.read(1 << 16):
        await stream.write(data)


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (limited, r"limits circuits to 120 s and 131072 bytes: no content goes through it"),
        (full, r"it has no room left \(RESOURCE_LIMIT_EXCEEDED\)"),
        (from_the_future, r"a status nobody knows \(999\)"),
        (garbage, "gave no answer"),
        (ends_at_once, "gave no answer"),
        (ends_in_the_handshake, "not to that peer"),
        (ends_after_the_handshake_has_begun, "not to that peer"),
        (plays_the_peer, "not to that peer"),
    ],
)
async def test_what_is_told_of_a_relay_that_fails_us(handler: Handler, told: str) -> None:
    async with open_babbler(handler) as relay, open_peer() as caller:
        with pytest.raises(CannotConnect, match=told):
            await caller.connect(through(relay, peer_id_of(new_key())), DEADLINE)
        assert caller.peers() == [relay.peer_id]
        await until(lambda: streams_to(relay, caller) == 0)


async def test_a_relay_cannot_bring_us_to_another_than_we_asked_for() -> None:
    """It joins us to itself, noise and all: the handshake shows whose key it is."""
    async with open_peer(relay=RelayCaps()) as relay, open_hidden(relay) as (impostor, _), open_peer() as caller:
        asked_for = peer_id_of(new_key())
        ask, wanted = messages.ask, parse_peer_id(impostor.peer_id).to_bytes()

        async def lie(connection: object, protocol: object, request: HopMessage) -> object:
            if protocol == HOP:
                request.peer.id = wanted
            return await ask(connection, protocol, request)  # type: ignore[arg-type]  # passed on

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(messages, "ask", lie)  # as if the relay had misread whom we want
            with pytest.raises(CannotConnect, match="not to that peer"):
                await caller.connect(through(relay, asked_for), DEADLINE)
        assert caller.peers() == [relay.peer_id]
        await until(lambda: relay.hop is not None and relay.hop.circuits == 0)


async def says_nothing(stream: INetStream) -> None:
    await trio.sleep_forever()


async def silent_in_the_handshake(stream: INetStream) -> None:
    await say(stream, Status.OK)
    await trio.sleep_forever()


@pytest.mark.parametrize("handler", [says_nothing, silent_in_the_handshake])
async def test_the_deadline_is_kept_and_nothing_is_left_open(handler: Handler) -> None:
    async with open_babbler(handler) as relay, open_peer() as caller:
        await caller.connect(relay.addresses[0], DEADLINE)
        with pytest.raises(CannotConnect, match=r"did not answer within 0\.5 s"):
            await caller.connect(through(relay, peer_id_of(new_key())), deadline=0.5)
        assert caller.peers() == [relay.peer_id]
        await until(lambda: streams_to(relay, caller) == 0)


@pytest.mark.parametrize(
    "address",
    [
        "/ip4/127.0.0.1/tcp/1/p2p-circuit/p2p/{peer}",
        "/p2p/{peer}/p2p-circuit/p2p/{peer}",
        "/p2p-circuit/p2p/{peer}",
        "/ip4/127.0.0.1/tcp/1/p2p/{peer}/p2p-circuit",
        "/ip4/127.0.0.1/tcp/1/p2p/{peer}/p2p-circuit/p2p/{peer}/p2p-circuit/p2p/{peer}",
    ],
)
async def test_what_is_no_circuit(address: str) -> None:
    peer = peer_id_of(new_key())
    async with open_peer() as caller:
        with pytest.raises(BadAddress):
            await caller.connect(address.format(peer=peer), DEADLINE)
    with pytest.raises(BadAddress):
        async with open_peer(bootstrap=(address.format(peer=peer),)):
            pass
