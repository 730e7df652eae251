"""The libp2p host: tcp, ws and wss on one port, noise, yamux, identify, ping. Nothing less safe is offered.

    async with open_host(HostConfig(key, listen=("/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/tcp/4001/ws"))) as host:
        ...

Ready means that every address listens. Leaving the block closes every connection and every listener; the same key and
port can be opened again at once, in the same process too. The library's own auto-dialling, plaintext, mplex, bitswap
and address guessing are off: this worker talks to the peers that come, and dials only the peers that its operator or
its own rules name.

The services in the config run with it: being a relay, being reached through relays, staying connected.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import cast

import structlog
import trio
from libp2p import new_host
from libp2p.abc import ITransport
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.rcmgr import ResourceLimits, ResourceManager
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.cmux import PortDemultiplexer

from pinning_worker.adapters.p2p import addresses
from pinning_worker.adapters.p2p.bounds.defaults import (
    HANDSHAKE_TIME,
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_ADDRESS,
    MAX_CONNECTIONS_PER_PEER,
    MAX_HALF_OPEN,
    MAX_STREAMS_PER_PEER,
    PROXIES,
    STREAM_WINDOW,
)
from pinning_worker.adapters.p2p.bounds.door import Door, DoorRules
from pinning_worker.adapters.p2p.cures import mend_all, mend_webrtc
from pinning_worker.adapters.p2p.cures.identify import ping
from pinning_worker.adapters.p2p.cures.ports import half_open, private_port
from pinning_worker.adapters.p2p.cures.streams import stream_limit, yamux_window
from pinning_worker.adapters.p2p.discovery import bootstrap
from pinning_worker.adapters.p2p.errors import BadAddress
from pinning_worker.adapters.p2p.host.host import AddressSources, Host
from pinning_worker.adapters.p2p.host.listening import listen
from pinning_worker.adapters.p2p.host.notifee import Neighbours
from pinning_worker.adapters.p2p.host.peerstore import KnownPeers
from pinning_worker.adapters.p2p.host.protected_connection import fingerprint
from pinning_worker.adapters.p2p.host.tls_certificate import CertificateFiles, TlsCertificate
from pinning_worker.adapters.p2p.host.webrtc_direct import require_installed, webrtc_transport
from pinning_worker.adapters.p2p.host.whereabouts import Whereabouts
from pinning_worker.adapters.p2p.peer_ids import peer_id
from pinning_worker.adapters.p2p.relay.client import RelayClient
from pinning_worker.adapters.p2p.relay.dialling import CircuitDialler
from pinning_worker.adapters.p2p.relay.hop import Hop, RelayCaps
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.swarm_key import unprotected
from pinning_worker.ungroup import one_error

CLOSE_SECONDS = 3.0
NEWCOMERS = 2  # of all connections: just past their handshake, while others leave for them
UNLIMITED = 1 << 62
DIALLED = [addresses.parse("/ip4/0.0.0.0/tcp/0"), addresses.parse("/ip4/0.0.0.0/tcp/0/ws")]
"""These tell the library which transports it needs; listening.py adds the real addresses later."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HostConfig:
    """`listen`, `announce`, `bootstrap`, `direct_peers` are multiaddrs; the last two end in /p2p/ and a peer id.

    `direct_peers`: other pinning nodes; we stay connected with them and hand them every message (router.py). Ourselves
    among them is no error: all nodes may share one list.
    `announce`: announced to peers instead of the addresses that we listen on.
    `max_connections` bounds both directions together; `kept_for_dialling` of them never go to peers that dial us: when
    all others are taken, a newcomer takes the place of one that is of no use. From one IP address, `proxies` excepted,
    come `max_connections_per_address` (bounds/door.py).
    `relay`: be a relay, within these caps.
    `swarm_key`: 32 bytes; we speak only with peers that hold the same (host/protected_connection.py).
    `stream_window`: bytes that one stream may make us hold, for all hosts of the process.
    `certificate` is for the addresses that end in /tls/ws; `webrtc_pem` keeps that of webrtc-direct.
    `relays_wanted`: be reachable through so many relays, found among the peers (relay/client.py).
    """

    key: KeyPair
    listen: tuple[str, ...]
    announce: tuple[str, ...] = ()
    bootstrap: tuple[str, ...] = ()
    direct_peers: tuple[str, ...] = ()
    swarm_key: bytes | None = field(default=None, repr=False)
    max_connections: int = MAX_CONNECTIONS
    kept_for_dialling: int = 50
    max_connections_per_peer: int = MAX_CONNECTIONS_PER_PEER
    max_streams: int = 10_000
    stream_window: int = STREAM_WINDOW
    max_streams_per_peer: int = MAX_STREAMS_PER_PEER
    handshake_time: timedelta = HANDSHAKE_TIME
    max_half_open: int = MAX_HALF_OPEN
    max_connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS
    proxies: frozenset[str] = frozenset(PROXIES)
    relay: RelayCaps | None = None
    certificate: CertificateFiles | None = None
    webrtc_pem: Path | None = None
    relays_wanted: int = 0


class OpenHost(Host):
    """A host with its services; None: the config does not ask for that service."""

    hop: Hop | None = None
    relay_client: RelayClient | None = None


@asynccontextmanager
async def open_host(config: HostConfig) -> AsyncIterator[OpenHost]:
    """Raises BadAddress and CannotListen before the block begins; inside, the fault that ended the host."""
    mend_all()
    yamux_window.grow_to(config.stream_window)
    if config.swarm_key is not None:
        _refuse_what_takes_no_swarm_key(config.listen)
    wanted = [addresses.parse_listen(text) for text in config.listen]
    certificate = TlsCertificate(config.certificate) if config.certificate else None
    if certificate is None and any(addresses.is_wss(address) for address in wanted):
        raise BadAddress("/tls/ws can be listened on with a certificate only")
    also_at: AddressSources = []
    door = Door(_door_rules(config))
    raw = _build(config, certificate, also_at, door)
    neighbours = Neighbours()
    kept = _kept_peers(config, peer_id(raw.get_id()))
    direct = frozenset(peer for peer, is_direct in kept.values() if is_direct)
    host = OpenHost(raw, neighbours, also_at, CircuitDialler(cast("Swarm", raw.get_network())).dial, direct)
    held = frozenset(peer for peer, _ in kept.values())
    door.keeps = held.__contains__
    whereabouts = Whereabouts(host, config.proxies)
    host.address_of, host.address_under = whereabouts.of, whereabouts.under
    host.note_use = lambda peer: door.used(peer, trio.current_time())
    host.swarm.register_notifee(neighbours)
    ping.tell(raw, host.on_ping)
    if config.relay is not None:
        host.hop = Hop(host, config.relay)
    if config.relays_wanted:
        client = host.relay_client = RelayClient(host, config.relays_wanted, config.max_streams_per_peer)
        also_at.append(lambda: client.addresses)
    with one_error():
        async with raw.run(()):
            try:
                await listen(host.swarm, wanted, partial(_watch_port, door, config.swarm_key is not None))
                _log.info("libp2p.listening", peer=host.peer_id, addresses=host.addresses)
                if config.swarm_key is not None:
                    _log.info("libp2p.private_network", fingerprint=fingerprint(config.swarm_key))
                async with trio.open_nursery() as nursery:
                    for address, (_, is_direct) in kept.items():
                        nursery.start_soon(bootstrap.stay_connected, host, address, bootstrap.longest_wait(is_direct))
                    if certificate is not None:
                        nursery.start_soon(certificate.watch)
                    if host.relay_client is not None:
                        nursery.start_soon(host.relay_client.run)
                    yield host
                    nursery.cancel_scope.cancel()
            finally:
                await _close(host)


def _kept_peers(config: HostConfig, ourselves: PeerId) -> dict[str, tuple[PeerId, bool]]:
    """The peers to stay connected with, by address: the peer id, and whether it is a direct peer. Raises BadAddress."""
    direct = {text: _peer_at(text) for text in config.direct_peers}
    named = {text: _peer_at(text) for text in config.bootstrap} | direct
    return {text: (peer, peer in direct.values()) for text, peer in named.items() if peer != ourselves}


def _peer_at(text: str) -> PeerId:
    addresses.parse_circuit(text)  # to refuse now an address that could not be dialled later
    return peer_id(addresses.parse_peer(text).peer_id)


def _build(config: HostConfig, certificate: TlsCertificate | None, also_at: AddressSources, door: Door) -> BasicHost:
    announced = [addresses.parse(text) for text in config.announce]
    listened = [addresses.parse_listen(text) for text in config.listen]
    known = KnownPeers()
    raw = new_host(
        key_pair=config.key,
        peerstore_opt=known,
        listen_addrs=DIALLED,
        sec_opt={NOISE: Noise(config.key, noise_privkey=new_noise_key().private_key)},
        muxer_opt={TProtocol(YAMUX): Yamux},
        connection_config=_connection_config(config),
        resource_manager=_resource_manager(config),
        addrs_factory=lambda found: [
            *(announced or addresses.reachable(found)),
            *(address for source in also_at for address in source()),
        ],
        disable_identify_address_discovery=True,
        enable_websocket=True,
        psk=config.swarm_key.hex() if config.swarm_key else None,
        tls_server_config=certificate.context if certificate else None,
    )
    swarm = cast("Swarm", raw.get_network())
    known.connected = lambda: swarm.connections
    stream_limit.set_limit(swarm, config.max_streams_per_peer)
    # The door gives inbound connections their places, after the handshake; this limiter has room for all of them.
    swarm._inbound_limiter = trio.CapacityLimiter(config.max_connections + config.max_half_open)
    swarm.retry_config = RetryConfig(max_retries=0)
    swarm.auto_connector = _NoAutoConnector(swarm)
    if any(addresses.is_webrtc(address) for address in listened):
        swarm.transport_manager.add_transport(_webrtc(config, door))
    return cast("BasicHost", raw)


def _webrtc(config: HostConfig, door: Door) -> ITransport:
    """Raises CannotListen, BadCertificate."""
    require_installed()
    from pinning_worker.adapters.p2p.cures.webrtc import door as datagrams

    mend_webrtc()
    transport = webrtc_transport(config.key, config.webrtc_pem)
    datagrams.watch_over(transport, door)
    return transport


def _watch_port(door: Door, is_private: bool, port: PortDemultiplexer) -> None:
    half_open.watch_over(port, door)
    if is_private:
        private_port.is_private(port)


def _refuse_what_takes_no_swarm_key(listen: tuple[str, ...]) -> None:
    for text in listen:
        if unprotected(text):
            raise BadAddress(
                f"cannot listen on {text} in a private network: no swarm key protects webrtc-direct or QUIC"
            )


class _NoAutoConnector(AutoConnector):
    """The library dials peers that it once heard of until it has 200 connections, and remembers the time of departure
    of each peer that ever left. This class does neither."""

    async def start(self) -> None: ...

    def record_disconnect(self, peer_id: ID) -> None: ...


def _connection_config(config: HostConfig) -> ConnectionConfig:
    seconds = config.handshake_time.total_seconds()
    return ConnectionConfig(
        max_connections=config.max_connections,
        min_connections=config.kept_for_dialling,
        low_watermark=config.max_connections,
        high_watermark=config.max_connections,
        max_connections_per_peer=config.max_connections_per_peer,
        inbound_upgrade_timeout=seconds,
        outbound_upgrade_timeout=seconds,
        dial_timeout=seconds,
    )


def _resource_manager(config: HostConfig) -> ResourceManager:
    """Counts streams, and the connections of each peer; the parts that guess (circuit breaker, degradation, rate
    limits) are off. So is its count of all connections: an abandoned dial, and a connection too many of one peer, stay
    in it for good, and once it is full no peer comes in or is dialled any more. The swarm counts the live ones."""
    return ResourceManager(
        limits=ResourceLimits(max_connections=UNLIMITED, max_streams=config.max_streams),
        connection_limits=ConnectionLimits(
            max_established_per_peer=config.max_connections_per_peer + 2,  # the newest come before the dead are gone
            max_established_total=config.max_connections,
        ),
        enable_circuit_breaker=False,
        enable_graceful_degradation=False,
        enable_rate_limiting=False,
    )


def _door_rules(config: HostConfig) -> DoorRules:
    return DoorRules(
        handshake_time=config.handshake_time,
        max_half_open=config.max_half_open,
        max_connections_per_address=config.max_connections_per_address,
        proxies=config.proxies,
        most_inside=max(1, config.max_connections - config.kept_for_dialling - NEWCOMERS),
    )


async def _close(host: Host) -> None:
    """Closes all connections at the same time (each takes a fifth of a second of the library's sleeping), then the
    rest."""
    with trio.CancelScope(shield=True):
        with trio.move_on_after(CLOSE_SECONDS), one_error():
            async with trio.open_nursery() as nursery:
                for connection in host.swarm.get_connections():
                    nursery.start_soon(connection.close)
        with trio.move_on_after(CLOSE_SECONDS):
            await host.raw.close()
