"""Behind a firewall: places at relays are found, renewed, replaced when lost; one with a Limit is named and left."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import cast

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.host.ping import ID as PING
from libp2p.network.stream.net_stream import NetStream
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr
from structlog.testing import capture_logs

from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.connections import direct_to
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.adapters.p2p.open_host import HostConfig, OpenHost, open_host
from pinning_worker.adapters.p2p.peer_ids import parse_peer_id
from pinning_worker.adapters.p2p.relay import client, reservations
from pinning_worker.adapters.p2p.relay import wire as messages
from pinning_worker.adapters.p2p.relay.client import RelayClient
from pinning_worker.adapters.p2p.relay.hop import RelayCaps
from pinning_worker.adapters.p2p.relay.wire import HOP, HopMessage, Status, ask, open_stream, reset

STREAMS = 16
TCP = "/ip4/127.0.0.1/tcp/0"
NOISE_CHOSEN = b"\x13/multistream/1.0.0\n\x07/noise\n"
FIRST, FALSE_THIRD = b"\x00\x20" + os.urandom(32), b"\x00\x60" + os.urandom(96)


def relay_client(host: OpenHost) -> RelayClient:
    assert host.relay_client is not None
    return host.relay_client


async def until_at(host: OpenHost, *relays: OpenHost) -> None:
    with trio.fail_after(30):
        while set(relay_client(host).relays) != {relay.peer_id for relay in relays}:  # noqa: ASYNC110  nobody is told
            await trio.sleep(0.01)


async def test_it_takes_as_many_places_as_it_wants_and_replaces_a_lost_one() -> None:
    relay = RelayCaps()
    async with open_host(HostConfig(new_key(), (TCP,), relay=relay)) as second:  # noqa: SIM117  it outlives the others
        async with (
            open_host(HostConfig(new_key(), (TCP,), relay=relay)) as first,
            open_host(HostConfig(new_key(), (TCP,))) as plain,
            open_host(HostConfig(new_key(), (TCP,), bootstrap=tuple(first.addresses), relays_wanted=1)) as hidden,
        ):
            await hidden.connect(plain.addresses[0], 20)
            await until_at(hidden, first)
            assert hidden.addresses[1:] == [f"{first.addresses[0]}/p2p-circuit/p2p/{hidden.peer_id}"]
            await hidden.connect(second.addresses[0], 20)
            assert relay_client(hidden).relays == [first.peer_id]
            await first.disconnect(hidden.peer_id)
            await until_at(hidden, second)
            assert second.hop is not None
            assert second.hop.reservations.holds(hidden.peer_id, trio.current_time())


async def test_a_place_is_renewed_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SHORTEST_SECONDS", 0.05)
    monkeypatch.setattr(reservations, "TERM_SECONDS", 1.0)
    async with (
        open_host(HostConfig(new_key(), (TCP,), relay=RelayCaps())) as relay,
        open_host(HostConfig(new_key(), (TCP,), bootstrap=tuple(relay.addresses), relays_wanted=1)) as hidden,
    ):
        assert relay.hop is not None
        relay.hop.welcome = lambda _: True
        await until_at(hidden, relay)
        began = trio.current_time()
        with trio.fail_after(30):
            while not relay.hop.reservations.holds(hidden.peer_id, began + 3):  # noqa: ASYNC110  nobody is told
                await trio.sleep(0.01)
        assert relay_client(hidden).relays == [relay.peer_id]


async def test_a_relay_that_tells_a_limit_is_named_with_what_it_means() -> None:
    async with open_host(HostConfig(new_key(), (TCP,))) as relay:  # noqa: SIM117  each on what the one before gives
        async with background_trio_service(CircuitV2Protocol(relay.raw, allow_hop=True)):
            with capture_logs() as logs:
                async with open_host(
                    HostConfig(new_key(), (TCP,), bootstrap=tuple(relay.addresses), relays_wanted=1)
                ) as hidden:
                    with trio.fail_after(30):
                        while not any(line["event"] == "relay.limited" for line in logs):  # noqa: ASYNC110
                            await trio.sleep(0.01)
                    (told,) = [line for line in logs if line["event"] == "relay.limited"]
                    assert told["relay"] == relay.peer_id
                    assert "no content" in told["meaning"]
                    assert relay_client(hidden).relays == []
                    assert all("/p2p-circuit" not in address for address in hidden.addresses)


def said(address: str) -> bytes:
    data: bytes = Multiaddr(address).to_bytes()
    return data


NO_PLACES = {
    "nothing": b"",
    "half an address": b"\x04" * 9,  # the library reads it: /ip4/4.4.4.4/ip4/0.4.4.4
    "another half": said("/ip4/127.0.0.1/tcp/4001")[:-1],
    "who, and not where": said(f"/p2p/{peer_id_of(new_key())}"),
    "another circuit": said(f"/ip4/8.8.8.8/tcp/1/p2p/{peer_id_of(new_key())}/p2p-circuit"),
}


@pytest.mark.parametrize("address", NO_PLACES.values(), ids=NO_PLACES)
async def test_where_a_relay_cannot_be_is_not_told_on(address: bytes) -> None:
    """And what is told on can be read: it goes along with every message that we publish."""
    place = messages.Reservation(expire=int(time.time()) + 3600, addrs=[address])
    answer = HopMessage(type=HopMessage.STATUS, status=Status.OK, reservation=place)

    async def give(stream: INetStream) -> None:
        await messages.read_message(stream, HopMessage)
        await messages.write_message(stream, answer)

    async with open_host(HostConfig(new_key(), (TCP,))) as relay:
        relay.raw.set_stream_handler(HOP, give)
        async with open_host(
            HostConfig(new_key(), (TCP,), bootstrap=tuple(relay.addresses), relays_wanted=1)
        ) as hidden:
            await until_at(hidden, relay)
            assert hidden.addresses[1:] == [f"{relay.addresses[0]}/p2p-circuit/p2p/{hidden.peer_id}"]


async def test_a_relay_brings_so_many_and_no_more() -> None:
    """Four of eight connections; whoever comes without it gets in, and when one has left another one may come."""
    caps = RelayCaps(relay_circuits_per_peer=100)
    async with (
        open_host(HostConfig(new_key(), (TCP,), relay=caps)) as relay,
        open_host(
            HostConfig(
                new_key(),
                (TCP,),
                bootstrap=tuple(relay.addresses),
                relays_wanted=1,
                max_connections=8,
                kept_for_dialling=1,
            )
        ) as hidden,
        AsyncExitStack() as stack,
    ):
        await until_at(hidden, relay)
        through = f"{relay.addresses[0]}/p2p-circuit/p2p/{hidden.peer_id}"
        peers = [await stack.enter_async_context(open_host(HostConfig(new_key(), ()))) for _ in range(6)]
        *brought, one_more, direct = peers
        for peer in brought:
            await peer.connect(through, 20)
        with pytest.raises(CannotConnect, match="it could not bring us to that peer"):
            await one_more.connect(through, 20)
        await direct.connect(hidden.addresses[0], 20)
        await brought[0].disconnect(hidden.peer_id)
        with trio.fail_after(30):
            while not await connects(one_more, through):  # noqa: ASYNC110  nobody is told
                await trio.sleep(0.05)


async def test_a_relay_that_brings_many_still_has_streams_for_itself() -> None:
    """Each circuit is one of its streams; when they were all that it may open, it could not speak itself any more."""
    caps = RelayCaps(relay_circuits_per_peer=100)
    async with (
        open_host(HostConfig(new_key(), (TCP,), relay=caps)) as relay,
        open_host(
            HostConfig(
                new_key(),
                (TCP,),
                bootstrap=tuple(relay.addresses),
                relays_wanted=1,
                max_streams_per_peer=STREAMS,
                handshake_time=timedelta(seconds=60),
            )
        ) as hidden,
        open_host(HostConfig(new_key(), ())) as stranger,
    ):
        await until_at(hidden, relay)
        await stranger.connect(relay.addresses[0], 20)
        to_relay, to_hidden = (
            direct_to(each.swarm, parse_peer_id(peer))
            for each, peer in ((stranger, relay.peer_id), (relay, hidden.peer_id))
        )
        assert to_relay is not None
        assert to_hidden is not None
        wanted = HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=parse_peer_id(hidden.peer_id).to_bytes()))
        answers = [(await ask(to_relay, HOP, wanted))[1].status for _ in range(STREAMS)]
        await reset(await open_stream(to_hidden, PING))
        assert set(answers) == {Status.OK, Status.CONNECTION_FAILED}


async def connects(peer: OpenHost, address: str) -> bool:
    try:
        await peer.connect(address, 20)
    except CannotConnect:
        return False
    return True


async def test_garbage_through_a_relay_is_a_strangers_fault_and_not_told_as_ours() -> None:
    async with (
        open_host(HostConfig(new_key(), (TCP,), relay=RelayCaps())) as relay,
        open_host(HostConfig(new_key(), (TCP,), bootstrap=tuple(relay.addresses), relays_wanted=1)) as hidden,
        open_host(HostConfig(new_key(), (TCP,))) as stranger,
    ):
        await until_at(hidden, relay)
        await stranger.connect(relay.addresses[0], 20)
        connection = direct_to(stranger.swarm, parse_peer_id(relay.peer_id))
        assert connection is not None
        wanted = HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=parse_peer_id(hidden.peer_id).to_bytes()))
        with capture_logs() as logs:
            for garbage in (NOISE_CHOSEN + FIRST + FALSE_THIRD, os.urandom(200), b""):
                stream, answer = await ask(connection, HOP, wanted)
                assert answer.status == Status.OK
                await stream.write(garbage)
                await cast("NetStream", stream).close_write()
                with trio.fail_after(20):
                    while relay.hop is None or relay.hop.circuits:  # noqa: ASYNC110  nobody is told
                        await trio.sleep(0.01)
        assert hidden.peers() == [relay.peer_id]
        assert [line["event"] for line in logs if line["log_level"] == "error"] == []
        assert [line["event"] for line in logs].count("relay.circuit_failed") == 3
