"""The library's own host that listens on webrtc-direct, and a stranger who dials it: for the webrtc cures' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from libp2p.transport.webrtc import _aiortc_helpers
from libp2p.transport.webrtc.certificate import WebRTCCertificate
from libp2p.transport.webrtc.config import WebRTCTransportConfig
from libp2p.transport.webrtc.connection import WebRTCConnection
from libp2p.transport.webrtc.listener import WebRTCDirectListener
from libp2p.transport.webrtc.transport import WebRTCDirectTransport
from multiaddr import Multiaddr

from tests.adapters.p2p.cure_rig import bare_host, until

WEBRTC = "/ip4/127.0.0.1/udp/0/webrtc-direct"


def transport(key: KeyPair | None = None) -> WebRTCDirectTransport:
    key = key or create_new_key_pair()
    config = WebRTCTransportConfig(certificate=WebRTCCertificate.from_aiortc(), ice_servers=[])
    return WebRTCDirectTransport(key.private_key, config)


@asynccontextmanager
async def webrtc_host() -> AsyncIterator[BasicHost]:
    key = create_new_key_pair()
    async with bare_host(key=key) as host:
        swarm = cast("Swarm", host.get_network())
        swarm.transport_manager.add_transport(transport(key))
        await swarm.listen(Multiaddr(WEBRTC))
        yield host


def listener_of(host: BasicHost) -> WebRTCDirectListener:
    swarm = cast("Swarm", host.get_network())
    (listener,) = (each for each in swarm.listeners.values() if isinstance(each, WebRTCDirectListener))
    return listener


def address_of(host: BasicHost) -> str:
    return str(listener_of(host).get_addrs()[0])


async def connected(host: BasicHost) -> Any:
    """The host's side of the connection to the stranger."""
    assert await until(lambda: len(host.get_connected_peers()) == 1)
    (connection,) = host.get_network().get_connections()
    return connection.muxed_conn


def sctp_of(muxed: Any) -> Any:
    """The host's end, through the closures in which the library keeps it."""
    send = muxed._close_pc_cb
    return next(cell.cell_contents for cell in send.__closure__ if hasattr(cell.cell_contents, "sctp")).sctp


class Stranger:
    """A connection to the host, with aiortc's part of it laid open. `run` runs something on aiortc's event loop."""

    def __init__(self, dialling: WebRTCDirectTransport, connection: WebRTCConnection, pc: Any) -> None:
        self.connection, self.pc = connection, pc
        bridge = dialling._bridge
        assert bridge is not None
        self.run = bridge.run_coro


@asynccontextmanager
async def stranger(address: str, seconds: float = 20) -> AsyncIterator[Stranger]:
    made: list[Any] = []
    stock = _aiortc_helpers.create_peer_connection

    async def create(*args: Any, **options: Any) -> Any:
        made.append(await stock(*args, **options))
        return made[-1]

    _aiortc_helpers.create_peer_connection = create
    dialling = transport()
    try:
        with trio.fail_after(seconds):
            connection = await dialling.dial(Multiaddr(address))
    finally:
        _aiortc_helpers.create_peer_connection = stock
    try:
        yield Stranger(dialling, connection, made[0])
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(10):
            await connection.close()
            await dialling.close()
