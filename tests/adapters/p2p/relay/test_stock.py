"""Why the relay is our own: what the library's does on the wire. When one of these fails, upstream has mended it."""

from __future__ import annotations

from typing import cast

from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol
from libp2p.tools.anyio_service import background_trio_service

from pinning_worker.adapters.p2p.relay import wire as messages
from pinning_worker.adapters.p2p.relay.wire import HOP, HopMessage
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play


async def hop_stream(relay: BasicHost, peer: BasicHost) -> INetStream:
    (connection,) = peer.get_network().get_connections(relay.get_id())
    return await messages.open_stream(cast("SwarmConn", connection), HOP)


async def ask(relay: BasicHost, peer: BasicHost, request: HopMessage) -> tuple[INetStream, HopMessage]:
    stream = await hop_stream(relay, peer)
    await messages.write_message(stream, request)
    return stream, await messages.read_message(stream, HopMessage)


async def a_limit_is_told() -> str:
    async with (
        bare_host() as relay,
        bare_host() as browser,
        background_trio_service(CircuitV2Protocol(relay, allow_hop=True)),
    ):
        await connect(browser, relay)
        _, place = await ask(relay, browser, HopMessage(type=HopMessage.RESERVE))
        return f"limit: {place.HasField('limit')}"


async def a_place_in_anothers_name() -> str:
    async with bare_host() as relay, bare_host() as victim, bare_host() as thief:
        protocol = CircuitV2Protocol(relay, allow_hop=True)
        async with background_trio_service(protocol):
            await connect(victim, relay)
            await connect(thief, relay)
            named = HopMessage(type=HopMessage.RESERVE, peer=PeerId(id=victim.get_id().to_bytes()))
            await ask(relay, thief, named)
            return f"the victim has a place: {protocol.resource_manager.has_reservation(victim.get_id())}"


def test_the_stock_relay_tells_a_limit() -> None:
    assert outcome(a_limit_is_told, stock=True) == "limit: True"


def test_the_stock_relay_reserves_for_whom_the_message_names() -> None:
    assert outcome(a_place_in_anothers_name, stock=True) == "the victim has a place: True"


if __name__ == "__main__":
    play(globals())
