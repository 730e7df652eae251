"""Being reached through relays: a worker behind a firewall asks the peers that it is connected to for a place.

We ask every peer that comes by the bootstrap list or by discovery once each time that it comes, until `wanted` relays
have given a place; each is renewed at half of its time, and a lost one is replaced. Our addresses then name the relays
(`…/p2p/RELAY/p2p-circuit`). A relay that sends a Limit is of no use: js-libp2p and Kubo carry neither bitswap nor
gossip over a limited circuit. The log names it, and its place is not kept.

Any peer may claim to be a relay, so we trust one as little as any other stranger: we do not announce half an address of
its, and it brings a bounded number of circuits, finished or not.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError
from multiaddr.protocols import P_P2P

from pinning_worker.adapters.p2p.addresses import is_circuit
from pinning_worker.adapters.p2p.host.connections import direct_to, ended
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.peer_ids import parse_peer_id, remote_peer
from pinning_worker.adapters.p2p.relay import wire as messages
from pinning_worker.adapters.p2p.relay.connections import as_connection
from pinning_worker.adapters.p2p.relay.wire import Gone, HopMessage, Status, StopMessage
from pinning_worker.domain.identities import PeerId
from pinning_worker.ungroup import one_error

SHORTEST_SECONDS = 10.0  # seconds between two renewals
LONGEST_SECONDS = 3600.0
AGAIN_SECONDS = 300.0  # until we ask a peer again that has refused
MOST_ADDRESSES = 4  # of one relay
_BEGINNINGS = ("/ip4/", "/ip6/", "/dns/", "/dns4/", "/dns6/")

_log = structlog.get_logger(__name__)


class RelayClient:
    """The relays of one host, from its making; `run` until cancelled. `streams`: the most that one peer may have open
    towards us."""

    def __init__(self, host: Host, wanted: int, streams: int) -> None:
        self._host = host
        self._wanted = wanted
        self._streams = streams
        self._places: dict[PeerId, list[Multiaddr]] = {}
        self._asking: set[PeerId] = set()
        self._asked: dict[PeerId, float] = {}
        self._limited: set[PeerId] = set()
        self._brought: Counter[PeerId] = Counter()
        self._news = trio.Event()
        host.on_connected.append(self._on_connected)
        host.on_disconnected.append(self._on_disconnected)
        host.raw.set_stream_handler(messages.STOP, self._on_stop)

    @property
    def relays(self) -> list[PeerId]:
        """Peer ids of the relays at which we have a place."""
        return list(self._places)

    @property
    def addresses(self) -> list[Multiaddr]:
        """Our addresses through them, without our own /p2p/ at the end."""
        return [address for addresses in self._places.values() for address in addresses]

    async def run(self) -> None:
        with one_error():
            async with trio.open_nursery() as nursery:
                while True:
                    self._news = trio.Event()
                    for peer in self._candidates():
                        self._asking.add(peer)
                        nursery.start_soon(self._hold, peer)
                    with trio.move_on_after(AGAIN_SECONDS):
                        await self._news.wait()

    def _candidates(self) -> list[PeerId]:
        now = trio.current_time()
        free = self._wanted - len(self._asking)
        worth = (peer for peer in self._host.peers() if peer not in self._asking and self._direct_to(peer) is not None)
        return [peer for peer in worth if now - self._asked.get(peer, -AGAIN_SECONDS) >= AGAIN_SECONDS][: max(free, 0)]

    async def _hold(self, peer: PeerId) -> None:
        """Runs from the first request until the place is lost; returns at once if the relay gives none."""
        self._asked[peer] = trio.current_time()
        try:
            while True:
                place = await self._reserve(peer)
                if place is None:
                    return
                if peer not in self._places:
                    _log.info("relay.place_held", relay=peer, expires=place.expire)
                self._places[peer] = self._circuits(peer, place)
                with trio.move_on_after(min(max((place.expire - time.time()) / 2, SHORTEST_SECONDS), LONGEST_SECONDS)):
                    while self._direct_to(peer) is not None:
                        await self._host.changed()
                    return
        except Gone as error:
            _log.debug("relay.no_place", relay=peer, reason=str(error))
        finally:
            self._asking.discard(peer)
            if self._places.pop(peer, None):
                _log.warning("relay.place_lost", relay=peer)
            self._news.set()

    async def _reserve(self, peer: PeerId) -> messages.Reservation | None:
        """Returns None if the relay refused or its offer is unusable. Raises Gone: the peer is no relay, or has
        disconnected."""
        connection = self._direct_to(peer)
        if connection is None:
            return None
        stream, answer = await messages.ask(connection, messages.HOP, HopMessage(type=HopMessage.RESERVE))
        await messages.close(stream)
        if answer.type != HopMessage.STATUS or answer.status != Status.OK:
            _log.info("relay.refused_us", relay=peer, reason=messages.in_words(answer.status))
            return None
        if limit := messages.limit_of(answer):
            self._tell_limit(peer, limit)
            return None
        return answer.reservation

    def _circuits(self, peer: PeerId, place: messages.Reservation) -> list[Multiaddr]:
        """At the relay's own addresses; if it names none, at the one where we are connected to it."""
        where = [address for data in place.addrs[:MOST_ADDRESSES] for address in _read(data)]
        if not where:
            connections = self._host.swarm.get_connections(parse_peer_id(peer))
            found = (address for each in connections[:1] for address in each.get_transport_addresses())
            where = [address.decapsulate_code(P_P2P) for address in found]
        tail = Multiaddr(f"/p2p/{peer}/p2p-circuit")
        return [address.encapsulate(tail) for address in where]

    async def _on_stop(self, stream: INetStream) -> None:
        """A relay brings a peer: a circuit is a connection like any other, noise and yamux inside."""
        relay = remote_peer(stream)
        try:
            request = await messages.read_message(stream, StopMessage)
            refusal = self._refusal(relay, request)
            if refusal is not None:
                await messages.write_message(stream, StopMessage(type=StopMessage.STATUS, status=refusal))
                return await messages.close(stream)
            if limit := messages.limit_of(request):
                self._tell_limit(relay, limit)
            with self._counted(relay):
                await messages.write_message(stream, StopMessage(type=StopMessage.STATUS, status=Status.OK))
                circuit = as_connection(stream, ID(request.peer.id), initiator=False)
                where = circuit.get_transport_addresses()[0]
                await ended(await self._host.swarm.upgrade_inbound_raw_conn(circuit, where))
        except Exception as error:  # noqa: BLE001  a stranger's bytes may make a handshake raise anything
            _log.debug("relay.circuit_failed", relay=relay, reason=repr(error))
            await messages.reset(stream)
        return None

    def _refusal(self, relay: PeerId, request: StopMessage) -> Status.ValueType | None:
        if request.type != StopMessage.CONNECT:
            return Status.UNEXPECTED_MESSAGE
        if relay not in self._places:
            return Status.PERMISSION_DENIED
        return Status.RESOURCE_LIMIT_EXCEEDED if self._brought[relay] >= self._most_circuits else None

    @property
    def _most_circuits(self) -> int:
        """The limit of one relay. All relays together fill half of our connections, and leave the rest to peers that
        come without one. Each circuit is a stream of the relay's, which has others to open: half of its streams at
        most."""
        connections = self._host.swarm.connection_config.max_connections // 2 // self._wanted
        return max(min(connections, self._streams // 2), 1)

    @contextmanager
    def _counted(self, relay: PeerId) -> Iterator[None]:
        """Counts a circuit from our acceptance on, whether or not its handshake has finished."""
        self._brought[relay] += 1
        try:
            yield
        finally:
            self._brought[relay] -= 1
            self._brought += Counter()  # forgets those with none

    def _tell_limit(self, relay: PeerId, limit: messages.Limit) -> None:
        """Logs it once, as long as the relay is connected."""
        if relay in self._limited:
            return
        self._limited.add(relay)
        _log.warning(
            "relay.limited",
            relay=relay,
            seconds=limit.duration,
            bytes=limit.data,
            meaning="no content and no messages go through it: peers must find another way to this worker",
        )

    def _direct_to(self, peer: PeerId) -> SwarmConn | None:
        return direct_to(self._host.swarm, parse_peer_id(peer))

    def _on_connected(self, _peer: PeerId) -> None:
        self._news.set()

    def _on_disconnected(self, peer: PeerId) -> None:
        if not self._host.is_connected(peer):
            self._asked.pop(peer, None)
            self._limited.discard(peer)


def _read(data: bytes) -> list[Multiaddr]:
    """One address without its /p2p/, or none: another circuit's address is none, and neither is half an address. The
    library reads some halves, and raises when they are read with more behind them: in every message that we send."""
    try:
        text = str(Multiaddr(data))
        whole = Multiaddr(text)
        address = whole.decapsulate_code(P_P2P)
        is_whole = whole.to_bytes() == data and text.startswith(_BEGINNINGS)
    except (MultiaddrError, ValueError, KeyError, IndexError):
        return []
    return [address] if is_whole and not is_circuit(text) else []
