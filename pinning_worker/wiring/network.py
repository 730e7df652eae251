"""The network of peers, as the settings say: one libp2p host, gossip over it, and the ways to find peers.

    async with open_network(settings) as network:
        topic = await network.pubsub.join(settings.topic)
        nursery.start_soon(network.find_peers)

Opening it listens and dials the bootstrap peers. Discovery and advertising begin only in `find_peers`: a peer that
finds this worker shall get an answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from pinning_worker.adapters.p2p.bounds.flood_guard import GossipLimits
from pinning_worker.adapters.p2p.dht.node import Dht
from pinning_worker.adapters.p2p.discovery.mapped_ports import MappedPorts
from pinning_worker.adapters.p2p.discovery.mdns import LocalPeers
from pinning_worker.adapters.p2p.discovery.peer_exchange import PeerExchange
from pinning_worker.adapters.p2p.gossip.pubsub import PubSub, open_pubsub
from pinning_worker.adapters.p2p.host.identity import load_or_create
from pinning_worker.adapters.p2p.host.peer_signer import PeerSigner
from pinning_worker.adapters.p2p.host.tls_certificate import CertificateFiles
from pinning_worker.adapters.p2p.open_host import HostConfig, OpenHost, open_host
from pinning_worker.adapters.p2p.relay.hop import RelayCaps
from pinning_worker.settings import Settings
from pinning_worker.ungroup import one_error

WEBRTC_FILE = "webrtc.pem"


@dataclass(frozen=True, slots=True)
class Network:
    """Made by `open_network` only."""

    host: OpenHost
    pubsub: PubSub
    discovery_topic: str
    signer: PeerSigner
    mdns: bool = False
    upnp: bool = False
    dht: Dht | None = None

    async def find_peers(self) -> None:
        """Finds peers and advertises this one, until cancelled."""
        exchange = PeerExchange(self.host, await self.pubsub.join(self.discovery_topic))
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(exchange.run)
                if self.mdns:
                    nursery.start_soon(LocalPeers(self.host).run)
                if self.upnp:
                    nursery.start_soon(MappedPorts(self.host).run)
                if self.dht is not None:
                    nursery.start_soon(self.dht.run)


@asynccontextmanager
async def open_network(settings: Settings) -> AsyncGenerator[Network, None]:
    """Raises the errors of `open_host`, each with its own advice."""
    config = _host_config(settings)
    async with open_host(config) as host, open_pubsub(host, _gossip_limits(settings)) as pubsub:
        yield Network(
            host,
            pubsub,
            settings.discovery_topic,
            PeerSigner(config.key),
            mdns=settings.mdns == "on",
            upnp=settings.upnp == "on",
            dht=Dht(host, serves=settings.dht == "server") if settings.dht != "off" else None,
        )


def _host_config(settings: Settings) -> HostConfig:
    return HostConfig(
        key=load_or_create(settings.key_file),
        listen=settings.listen,
        announce=settings.announce,
        bootstrap=settings.bootstrap_peers,
        direct_peers=settings.direct_peers,
        swarm_key=settings.private_network,
        max_connections=settings.max_connections,
        max_connections_per_peer=settings.max_connections_per_peer,
        max_connections_per_address=settings.max_connections_per_address,
        proxies=frozenset(settings.proxies),
        handshake_time=settings.handshake_time,
        max_half_open=settings.max_half_open,
        max_streams_per_peer=settings.max_streams_per_peer,
        kept_for_dialling=min(50, settings.max_connections // 6),
        stream_window=settings.stream_window,
        relay=_relay_caps(settings),
        certificate=certificate_files(settings),
        relays_wanted=settings.relays_wanted,
        webrtc_pem=settings.data_dir / WEBRTC_FILE,
    )


def _gossip_limits(settings: Settings) -> GossipLimits:
    return GossipLimits(
        messages_per_peer_per_second=settings.messages_per_peer_per_second,
        messages_per_second=settings.messages_per_second,
        gossip_bytes_per_second=settings.gossip_bytes_per_second,
    )


def certificate_files(settings: Settings) -> CertificateFiles | None:
    """The certificate files of the settings."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return CertificateFiles(settings.tls_cert, settings.tls_key)


def _relay_caps(settings: Settings) -> RelayCaps | None:
    if settings.relay == "off":
        return None
    return RelayCaps(
        relay_reservations=settings.relay_reservations,
        relay_circuits=settings.relay_circuits,
        relay_circuits_per_peer=settings.relay_circuits_per_peer,
        relay_bytes_per_circuit=settings.relay_bytes_per_circuit,
    )
