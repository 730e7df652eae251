"""The libp2p host: tcp, ws and wss on one port, noise, yamux, identify, ping. Nothing less safe is offered.

    async with open_host(HostConfig(key, listen=("/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/tcp/4001/ws"))) as host:
        ...

Ready means that every address listens. Leaving the block closes every connection and every listener; the same key
and port can be opened again at once, in the same process too. The library's own auto-dialling, plaintext, mplex,
bitswap and address guessing are off: this worker talks to those who come, and dials whom it was told to.

`Host.raw` is the library's host, for the adapters in this package that speak protocols of their own over it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import structlog
import trio
from libp2p import new_host
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.rcmgr import ResourceLimits, ResourceManager
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p import addresses, bootstrap, names
from pinning_worker.adapters.p2p.certificate import CertificateFiles, TlsCertificate
from pinning_worker.adapters.p2p.cures import mend_all, stream_limit, yamux_window
from pinning_worker.adapters.p2p.cures.half_open import LOOPBACK, Door, DoorRules
from pinning_worker.adapters.p2p.cures.private_network import fingerprint
from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect, root_cause
from pinning_worker.adapters.p2p.listening import listen
from pinning_worker.adapters.p2p.neighbours import Neighbours
from pinning_worker.adapters.p2p.relay.client import RelayClient
from pinning_worker.adapters.p2p.relay.dialling import CircuitDialler
from pinning_worker.adapters.p2p.relay.hop import Hop, RelayCaps
from pinning_worker.adapters.p2p.webrtc import webrtc_transport
from pinning_worker.domain.swarm_key import unprotected
from pinning_worker.one_error import one_error

CLOSE_SECONDS = 3.0
DIALLED = [addresses.parse("/ip4/0.0.0.0/tcp/0"), addresses.parse("/ip4/0.0.0.0/tcp/0/ws")]
"""From these the library learns which transports it needs; what is listened on is told it later (listening.py)."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HostConfig:
    """`listen`, `announce`, `bootstrap`, `direct_peers` are multiaddrs; the last two end in /p2p/ and a peer id.

    `direct_peers`: other pinning nodes, which we stay connected with and hand every message (router.py). Ourselves
    among them is no error: all nodes may be given the same list.
    `announce`: told to peers instead of the addresses that we listen on. `max_connections` bounds both directions
    together; `kept_for_dialling` of them are never given to those who dial us. From one IP address, `proxies` excepted,
    come `max_connections_per_address` (cures/half_open.py). `relay`: be a relay, within these caps.
    `swarm_key`: 32 bytes; only peers that hold the same are spoken with (cures/private_network.py).
    `stream_window`: bytes that one stream may make us hold, for all hosts of the process.
    `certificate` is for the addresses that end in /tls/ws; `webrtc_pem` keeps the one of webrtc-direct (webrtc.py).
    `relays_wanted`: be reachable through so many relays, found among the peers (relay/client.py).
    """

    key: KeyPair
    listen: tuple[str, ...]
    announce: tuple[str, ...] = ()
    bootstrap: tuple[str, ...] = ()
    direct_peers: tuple[str, ...] = ()
    swarm_key: bytes | None = field(default=None, repr=False)
    max_connections: int = 300
    kept_for_dialling: int = 50
    max_connections_per_peer: int = 2
    max_streams: int = 10_000
    stream_window: int = yamux_window.LARGEST_WINDOW
    max_streams_per_peer: int = 256
    handshake_seconds: float = 10.0
    max_half_open: int = 64
    max_connections_per_address: int = 32
    proxies: frozenset[str] = LOOPBACK
    relay: RelayCaps | None = None
    certificate: CertificateFiles | None = None
    webrtc_pem: Path | None = None
    relays_wanted: int = 0


AddressSources = list[Callable[[], Iterable[Multiaddr]]]


class Host:
    """A running host. Made by `open_host` only.

    `also_at`: each is asked, whenever our addresses are told, where else we are reached (a relay, a mapped port).
    `direct`: the peer ids of direct peers.
    """

    def __init__(
        self, raw: BasicHost, neighbours: Neighbours, also_at: AddressSources, direct: frozenset[str] = frozenset()
    ) -> None:
        self.raw = raw
        self.also_at = also_at
        self.direct = direct
        self.peer_id = raw.get_id().to_base58()
        self.on_connected = neighbours.on_connected
        self.on_disconnected = neighbours.on_disconnected
        self.hop: Hop | None = None
        self.relay_client: RelayClient | None = None
        self._neighbours = neighbours
        self._circuits = CircuitDialler(self.swarm)

    @property
    def swarm(self) -> Swarm:
        return cast("Swarm", self.raw.get_network())

    @property
    def addresses(self) -> list[str]:
        """What we tell peers: multiaddrs that end in our peer id."""
        return [str(address) for address in self.raw.get_addrs()]

    def peers(self) -> list[str]:
        """Peer ids of those with a live connection."""
        return [peer.to_base58() for peer, conns in self.swarm.connections.items() if _any_live(conns)]

    def is_connected(self, peer: str) -> bool:
        """Raises BadAddress: not a peer id."""
        return _any_live(self.swarm.get_connections(addresses.parse_peer_id(peer)))

    @property
    def half_full(self) -> bool:
        """Is half of `max_connections` in use, direct peers not counted? Then we look for nobody."""
        swarm = self.swarm
        ours = sum(len(swarm.get_connections(addresses.parse_peer_id(peer))) for peer in self.direct)
        return (swarm.get_total_connections() - ours) * 2 >= swarm.connection_config.max_connections

    async def changed(self) -> None:
        """Returns when the next connection has come or gone."""
        await self._neighbours.changed()

    async def connect(self, address: str, deadline: float) -> str:
        """A connection to `…/p2p/PEER` within `deadline` seconds; at once where there is one. Returns the peer id.

        `…/p2p/RELAY/p2p-circuit/p2p/PEER` goes through that relay (relay/dialling.py).
        Raises BadAddress, CannotConnect.
        """
        return await self._connect(address, deadline, public_only=False)

    async def connect_on_hearsay(self, address: str, deadline: float) -> str:
        """The same, to an address that a stranger named: never from the internet into our own network."""
        if not addresses.worth_dialling(address, self.addresses):
            raise BadAddress(f"{address} is not dialled because somebody says so")
        return await self._connect(address, deadline, public_only=not addresses.all_private(self.addresses))

    async def _connect(self, address: str, deadline: float, *, public_only: bool) -> str:
        info, circuit = addresses.parse_peer(address), addresses.parse_circuit(address)
        peer = info.peer_id.to_base58()
        if self.is_connected(peer):
            return peer
        try:
            with trio.fail_after(deadline), one_error():
                # Not `raw.connect`: that dials whatever else it knows, waits a quarter of a second even after
                # success, and refuses a peer for a minute after a failure.
                if circuit is None:
                    await names.dial(self.swarm, info.addrs[0], info.peer_id, public_only=public_only)
                else:
                    await self._circuits.dial(circuit, public_only=public_only)
        except CannotConnect as error:
            raise CannotConnect(f"cannot connect to {address}: {error}") from error
        except trio.TooSlowError as error:
            raise CannotConnect(f"{address} did not answer within {deadline:g} s") from error
        except (BaseLibp2pError, OSError) as error:
            raise CannotConnect(f"cannot connect to {address}: {root_cause(error)}") from error
        return peer

    async def disconnect(self, peer: str) -> None:
        """Closes every connection to that peer. Raises BadAddress."""
        await self.raw.disconnect(addresses.parse_peer_id(peer))


@asynccontextmanager
async def open_host(config: HostConfig) -> AsyncIterator[Host]:
    """Raises BadAddress and CannotListen before the block begins; inside, whatever ended the host."""
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
    whom = _whom_to_hold(config, raw.get_id().to_base58())
    host = Host(raw, neighbours, also_at, frozenset(peer for peer, is_direct in whom.values() if is_direct))
    host.swarm.register_notifee(neighbours)
    if config.relay is not None:
        host.hop = Hop(host, config.relay)
    if config.relays_wanted:
        client = host.relay_client = RelayClient(host, config.relays_wanted)
        also_at.append(lambda: client.addresses)
    with one_error():
        async with raw.run(()):
            try:
                await listen(host.swarm, wanted, door)
                _log.info("libp2p.listening", peer=host.peer_id, addresses=host.addresses)
                if config.swarm_key is not None:
                    _log.info("libp2p.private_network", fingerprint=fingerprint(config.swarm_key))
                async with trio.open_nursery() as nursery:
                    for address, (_, is_direct) in whom.items():
                        nursery.start_soon(bootstrap.stay_connected, host, address, bootstrap.longest_wait(is_direct))
                    if certificate is not None:
                        nursery.start_soon(certificate.watch)
                    if host.relay_client is not None:
                        nursery.start_soon(host.relay_client.run)
                    yield host
                    nursery.cancel_scope.cancel()
            finally:
                await _close(host)


def _whom_to_hold(config: HostConfig, ourselves: str) -> dict[str, tuple[str, bool]]:
    """By address: the peer id, and whether it is a direct peer. Raises BadAddress."""
    direct = {text: _peer_at(text) for text in config.direct_peers}
    named = {text: _peer_at(text) for text in config.bootstrap} | direct
    return {text: (peer, peer in direct.values()) for text, peer in named.items() if peer != ourselves}


def _peer_at(text: str) -> str:
    addresses.parse_circuit(text)  # to refuse now what nobody could dial later
    return addresses.parse_peer(text).peer_id.to_base58()


def _build(config: HostConfig, certificate: TlsCertificate | None, also_at: AddressSources, door: Door) -> BasicHost:
    announced = [addresses.parse(text) for text in config.announce]
    listened = [addresses.parse_listen(text) for text in config.listen]
    raw = new_host(
        key_pair=config.key,
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
    stream_limit.set_limit(swarm, config.max_streams_per_peer)
    swarm.retry_config = RetryConfig(max_retries=0)
    swarm.auto_connector = _NoAutoConnector(swarm)
    if any(addresses.is_webrtc(address) for address in listened):
        swarm.transport_manager.add_transport(webrtc_transport(config.key, config.webrtc_pem, door))
    return cast("BasicHost", raw)


def _refuse_what_takes_no_swarm_key(listen: tuple[str, ...]) -> None:
    for text in listen:
        if unprotected(text):
            raise BadAddress(
                f"cannot listen on {text} in a private network: no swarm key protects webrtc-direct or QUIC"
            )


class _NoAutoConnector(AutoConnector):
    """The library dials peers that it once heard of until it has 200 connections. It shall not."""

    async def start(self) -> None: ...


def _connection_config(config: HostConfig) -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=config.max_connections,
        min_connections=config.kept_for_dialling,
        low_watermark=config.max_connections,
        high_watermark=config.max_connections,
        max_connections_per_peer=config.max_connections_per_peer,
        inbound_upgrade_timeout=config.handshake_seconds,
        outbound_upgrade_timeout=config.handshake_seconds,
        dial_timeout=config.handshake_seconds,
    )


def _resource_manager(config: HostConfig) -> ResourceManager:
    """Counts connections and streams; the parts that guess (circuit breaker, degradation, rate limits) are off."""
    return ResourceManager(
        limits=ResourceLimits(max_connections=config.max_connections * 2, max_streams=config.max_streams),
        connection_limits=ConnectionLimits(
            max_established_per_peer=config.max_connections_per_peer + 2,  # the newest come before the dead are gone
            max_established_total=config.max_connections,
        ),
        enable_circuit_breaker=False,
        enable_graceful_degradation=False,
        enable_rate_limiting=False,
    )


def _door_rules(config: HostConfig) -> DoorRules:
    return DoorRules(config.handshake_seconds, config.max_half_open, config.max_connections_per_address, config.proxies)


async def _close(host: Host) -> None:
    """All connections at the same time (each takes a fifth of a second of the library's sleeping), then the rest."""
    with trio.CancelScope(shield=True):
        with trio.move_on_after(CLOSE_SECONDS), one_error():
            async with trio.open_nursery() as nursery:
                for connection in host.swarm.get_connections():
                    nursery.start_soon(connection.close)
        with trio.move_on_after(CLOSE_SECONDS):
            await host.raw.close()


def _any_live(connections: Iterable[object]) -> bool:
    return any(not connection.is_closed for connection in cast("Iterable[Yamux]", connections))
