"""The relay as a stranger meets it on the wire: what is granted, what is refused, and what it never does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId

from pinning_worker.adapters.p2p.addresses import is_circuit
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.peer_ids import parse_peer_id
from pinning_worker.adapters.p2p.relay import wire as messages
from pinning_worker.adapters.p2p.relay.hop import Hop, RelayCaps
from pinning_worker.adapters.p2p.relay.wire import HOP, STOP, HopMessage, Status, StopMessage
from tests.adapters.p2p.dialling_from import dialling_from

TCP = "/ip4/127.0.0.1/tcp/0"
RESERVE = HopMessage(type=HopMessage.RESERVE)
YES = StopMessage(type=StopMessage.STATUS, status=Status.OK)


@asynccontextmanager
async def open_relay(caps: RelayCaps) -> AsyncIterator[tuple[Host, Hop]]:
    async with open_host(HostConfig(new_key(), (TCP,), relay=caps)) as host:
        assert host.hop is not None
        host.hop.welcome = lambda _: True
        yield host, host.hop


@asynccontextmanager
async def open_peer(relay: Host, ip: str = "127.0.0.1") -> AsyncIterator[Host]:
    async with open_host(HostConfig(new_key(), (TCP,))) as host:
        with dialling_from(ip):
            await host.connect(relay.addresses[0], 20)
        yield host


async def to(relay: Host, peer: Host) -> INetStream:
    (connection,) = peer.swarm.get_connections(parse_peer_id(relay.peer_id))
    return await messages.open_stream(cast("SwarmConn", connection), HOP)


async def ask(relay: Host, peer: Host, request: HopMessage) -> HopMessage:
    stream = await to(relay, peer)
    await messages.write_message(stream, request)
    return await messages.read_message(stream, HopMessage)


def connect_to(peer: str) -> HopMessage:
    return HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=parse_peer_id(peer).to_bytes()))


async def test_no_limit_is_told_to_anybody_and_bytes_go_through_both_ways() -> None:
    told: list[StopMessage] = []

    async def answer(stream: INetStream) -> None:
        told.append(await messages.read_message(stream, StopMessage))
        await messages.write_message(stream, YES)
        while data := await stream.read(1 << 16):
            await stream.write(data[::-1])

    async with open_relay(RelayCaps()) as (relay, hop), open_peer(relay) as browser, open_peer(relay) as caller:
        browser.raw.set_stream_handler(STOP, answer)
        place = await ask(relay, browser, RESERVE)
        assert (place.status, place.HasField("limit")) == (Status.OK, False)
        circuit = await to(relay, caller)
        await messages.write_message(circuit, connect_to(browser.peer_id))
        opened = await messages.read_message(circuit, HopMessage)
        assert (opened.status, opened.HasField("limit")) == (Status.OK, False)
        assert told[0].peer.id == parse_peer_id(caller.peer_id).to_bytes()
        assert not told[0].HasField("limit")
        await circuit.write(b"abc")
        assert await circuit.read(3) == b"cba"
        assert (hop.circuits, hop.carried_bytes) == (1, 6)  # counted while it is open
        await circuit.reset()
        with trio.fail_after(30):
            while hop.circuits:  # noqa: ASYNC110  nobody is told when a circuit ends
                await trio.sleep(0.01)
        assert hop.carried_bytes == 6


async def test_nobody_reserves_in_anothers_name() -> None:
    async with open_relay(RelayCaps()) as (relay, hop), open_peer(relay) as victim, open_peer(relay) as thief:
        named = HopMessage(type=HopMessage.RESERVE, peer=connect_to(victim.peer_id).peer)
        assert (await ask(relay, thief, named)).status == Status.OK
        assert [hop.reservations.holds(peer.peer_id, trio.current_time()) for peer in (victim, thief)] == [False, True]


async def test_a_place_is_free_when_its_peer_has_left() -> None:
    async with open_relay(RelayCaps(relay_reservations=1)) as (relay, hop), open_peer(relay) as second:
        async with open_peer(relay) as first:
            assert (await ask(relay, first, RESERVE)).status == Status.OK
            assert (await ask(relay, second, RESERVE)).status == Status.RESOURCE_LIMIT_EXCEEDED
        with trio.fail_after(30):
            while len(hop.reservations):
                await relay.changed()
        assert (await ask(relay, second, RESERVE)).status == Status.OK


async def test_subscribed_strangers_of_one_address_make_room_for_somebody_from_another() -> None:
    async with (
        open_relay(RelayCaps(relay_reservations=2)) as (relay, hop),
        open_peer(relay, "127.0.0.2") as oldest,
        open_peer(relay, "127.0.0.2") as second,
        open_peer(relay, "127.0.0.2") as third,
        open_peer(relay, "127.0.0.9") as honest,
    ):
        asked = [(await ask(relay, peer, RESERVE)).status for peer in (oldest, second, third, honest)]
        assert asked == [Status.OK, Status.OK, Status.RESOURCE_LIMIT_EXCEEDED, Status.OK]
        now = trio.current_time()
        assert [hop.reservations.holds(each.peer_id, now) for each in (oldest, second, honest)] == [False, True, True]


async def test_a_stranger_to_the_topic_is_not_renewed() -> None:
    async with open_relay(RelayCaps()) as (relay, hop), open_peer(relay) as stranger:
        hop.welcome = lambda _: False
        assert (await ask(relay, stranger, RESERVE)).status == Status.OK
        assert (await ask(relay, stranger, RESERVE)).status == Status.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HopMessage(type=HopMessage.STATUS, status=Status.OK), Status.UNEXPECTED_MESSAGE),
        (HopMessage(type=HopMessage.CONNECT), Status.NO_RESERVATION),
        (HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=b"\xff\xff\xff")), Status.NO_RESERVATION),
        (connect_to("12D3KooWA8gYAdWLvVhMQ7j34xw4355AmKhfyNCuqFFFygZqu6Jo"), Status.NO_RESERVATION),
    ],
    ids=["status", "nobody", "no peer id", "not reserved"],
)
async def test_what_is_refused(request_: HopMessage, status: int) -> None:
    async with open_relay(RelayCaps()) as (relay, _), open_peer(relay) as peer:
        assert (await ask(relay, peer, request_)).status == status


async def test_a_target_that_says_no_or_nothing_sensible_frees_the_circuit() -> None:
    async def refuse(stream: INetStream) -> None:
        await messages.read_message(stream, StopMessage)
        status = StopMessage(type=StopMessage.STATUS, status=Status.PERMISSION_DENIED)
        await messages.write_message(stream, status)

    async def babble(stream: INetStream) -> None:
        await stream.write(b"\x10" + os.urandom(16))

    async with open_relay(RelayCaps()) as (relay, hop), open_peer(relay) as browser, open_peer(relay) as caller:
        await ask(relay, browser, RESERVE)
        assert (await ask(relay, caller, connect_to(browser.peer_id))).status == Status.CONNECTION_FAILED
        for handler in (refuse, babble):
            browser.raw.set_stream_handler(STOP, handler)
            assert (await ask(relay, caller, connect_to(browser.peer_id))).status == Status.CONNECTION_FAILED
        assert hop.circuits == 0


async def accept(stream: INetStream) -> None:
    """The far end of a circuit that stays open."""
    await messages.read_message(stream, StopMessage)
    await messages.write_message(stream, YES)
    await trio.sleep_forever()


async def test_a_peer_has_so_many_circuits_at_whichever_end_it_is() -> None:
    async with (
        open_relay(RelayCaps(relay_circuits_per_peer=1)) as (relay, _),
        open_peer(relay) as one,
        open_peer(relay) as other,
        open_peer(relay) as caller,
        open_peer(relay) as latecomer,
    ):
        for browser in (one, other):
            browser.raw.set_stream_handler(STOP, accept)
            assert (await ask(relay, browser, RESERVE)).status == Status.OK
        assert (await ask(relay, caller, connect_to(one.peer_id))).status == Status.OK
        assert (await ask(relay, latecomer, connect_to(one.peer_id))).status == Status.RESOURCE_LIMIT_EXCEEDED
        assert (await ask(relay, caller, connect_to(other.peer_id))).status == Status.RESOURCE_LIMIT_EXCEEDED
        assert (await ask(relay, latecomer, connect_to(other.peer_id))).status == Status.OK


async def test_the_relay_has_so_many_circuits_in_all_whoever_asks() -> None:
    async with (
        open_relay(RelayCaps(relay_circuits=1)) as (relay, hop),
        open_peer(relay) as one,
        open_peer(relay) as other,
        open_peer(relay) as caller,
        open_peer(relay) as latecomer,
    ):
        for browser in (one, other):
            browser.raw.set_stream_handler(STOP, accept)
            assert (await ask(relay, browser, RESERVE)).status == Status.OK
        circuit = await to(relay, caller)
        await messages.write_message(circuit, connect_to(one.peer_id))
        assert (await messages.read_message(circuit, HopMessage)).status == Status.OK
        assert (await ask(relay, latecomer, connect_to(other.peer_id))).status == Status.RESOURCE_LIMIT_EXCEEDED
        await circuit.reset()
        with trio.fail_after(30):
            while hop.circuits:  # noqa: ASYNC110  nobody is told when a circuit ends
                await trio.sleep(0.01)
        assert (await ask(relay, latecomer, connect_to(other.peer_id))).status == Status.OK


@pytest.mark.parametrize("request_", [RESERVE, connect_to("12D3KooWA8gYAdWLvVhMQ7j34xw4355AmKhfyNCuqFFFygZqu6Jo")])
async def test_nothing_is_granted_over_a_circuit(request_: HopMessage) -> None:
    """Else circuits are built through circuits. The relay that is asked has a place at another one."""
    async with (
        open_relay(RelayCaps()) as (outer, _),
        open_host(
            HostConfig(new_key(), (TCP,), relay=RelayCaps(), bootstrap=(outer.addresses[0],), relays_wanted=1)
        ) as inner,
        open_host(HostConfig(new_key(), (TCP,))) as caller,
    ):
        with trio.fail_after(30):
            while not (circuits := [each for each in inner.addresses if is_circuit(each)]):  # noqa: ASYNC110
                await trio.sleep(0.01)
        await caller.connect(circuits[0], 20)
        assert (await ask(inner, caller, request_)).status == Status.PERMISSION_DENIED
        assert inner.hop is not None
        assert len(inner.hop.reservations) == 0


async def test_garbage_is_a_reset_and_the_relay_lives_on() -> None:
    async with open_relay(RelayCaps()) as (relay, _), open_peer(relay) as peer:
        for garbage in (b"\xff" * 10, b"\x05\xff\xff\xff\xff\xff", b"\xff\x7f", os.urandom(200)):
            stream = await to(relay, peer)
            await stream.write(garbage)
            await cast("NetStream", stream).close_write()
            with pytest.raises(messages.Gone):
                await messages.read_message(stream, HopMessage)
        assert (await ask(relay, peer, RESERVE)).status == Status.OK
