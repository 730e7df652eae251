"""A running libp2p host: connected peers, dialling, and the addresses that we announce. open_host.py opens it.

`Host.raw` is the library's host, for the adapters in this package that speak protocols of their own over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr
from multiaddr.protocols import P_P2P

from pinning_worker.adapters.p2p import addresses
from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect, root_cause
from pinning_worker.adapters.p2p.host import dns_dialling as names
from pinning_worker.adapters.p2p.host.notifee import Neighbours
from pinning_worker.adapters.p2p.peer_ids import parse_peer_id, peer_id
from pinning_worker.domain.identities import PeerId
from pinning_worker.ungroup import one_error

AddressSources = list[Callable[[], Iterable[Multiaddr]]]


class DialCircuit(Protocol):
    """Connects with the peer at the end of a circuit. Raises NoCircuit."""

    async def __call__(self, circuit: addresses.Circuit, *, public_only: bool) -> None: ...


class Host:
    """A running host. Made by `open_host` only, which gives its services to it (open_host.py).

    `also_at`: callables that return further addresses of ours (a relay's, a mapped port's), called at each
    announcement.
    `dial_circuit` dials through a relay. `direct`: the peer ids of direct peers.
    `note_use(peer)` is called whenever a peer asks for something, gives something, or hands us a message: a peer that
    does none of it is the first to leave for others (bounds/eviction.py).
    `address_of(peer)` and `address_under(connection)`: the address at which it counts (whereabouts.py).
    """

    def __init__(
        self,
        raw: BasicHost,
        neighbours: Neighbours,
        also_at: AddressSources,
        dial_circuit: DialCircuit,
        direct: frozenset[PeerId] = frozenset(),
    ) -> None:
        self.raw = raw
        self.also_at = also_at
        self.direct = direct
        self.peer_id = peer_id(raw.get_id())
        self.on_ping: list[Callable[[PeerId, bool], None]] = []  # a peer, and whether a stream of its pings opened
        self.on_connected = neighbours.on_connected
        self.on_disconnected = neighbours.on_disconnected
        self.note_use: Callable[[PeerId], None] = lambda _peer: None
        self.address_of: Callable[[PeerId], str] = lambda _peer: ""
        self.address_under: Callable[[Any], str] = lambda _connection: ""
        self._neighbours = neighbours
        self._dial_circuit = dial_circuit

    @property
    def swarm(self) -> Swarm:
        return cast("Swarm", self.raw.get_network())

    @property
    def addresses(self) -> list[str]:
        """The addresses that we announce: multiaddrs that end in our peer id."""
        return [str(address) for address in self.raw.get_addrs()]

    @property
    def places(self) -> list[Multiaddr]:
        """The same, without our peer id at the end."""
        return [address.decapsulate_code(P_P2P) for address in self.raw.get_addrs()]

    @property
    def listening(self) -> list[Multiaddr]:
        """The addresses that we listen on, as the sockets have them."""
        return [address for listener in self.swarm.listeners.values() for address in listener.get_addrs()]

    def peers(self) -> list[PeerId]:
        """Peer ids of the peers with a live connection."""
        return [peer_id(peer) for peer, conns in self.swarm.connections.items() if _any_live(conns)]

    def is_connected(self, peer: PeerId) -> bool:
        """Raises BadAddress: not a peer id."""
        return _any_live(self.swarm.get_connections(parse_peer_id(peer)))

    @property
    def half_full(self) -> bool:
        """Is half of `max_connections` in use, direct peers not counted? Then we look for no more peers."""
        swarm = self.swarm
        ours = sum(len(swarm.get_connections(parse_peer_id(peer))) for peer in self.direct)
        return (swarm.get_total_connections() - ours) * 2 >= swarm.connection_config.max_connections

    async def changed(self) -> None:
        """Returns when the next connection has come or gone."""
        await self._neighbours.changed()

    async def connect(self, address: str, deadline: float) -> PeerId:
        """A connection to `…/p2p/PEER` within `deadline` seconds; at once where there is one. Returns the peer id.

        `…/p2p/RELAY/p2p-circuit/p2p/PEER` goes through that relay (relay/dialling.py).
        Raises BadAddress, CannotConnect.
        """
        return await self._connect(address, deadline, public_only=False)

    async def connect_on_hearsay(self, address: str, deadline: float) -> PeerId:
        """The same, to an address that a stranger named: never from the internet into our own network."""
        if not addresses.worth_dialling(address, self.addresses):
            raise BadAddress(f"{address} is not dialled because somebody says so")
        return await self._connect(address, deadline, public_only=not addresses.all_private(self.addresses))

    async def _connect(self, address: str, deadline: float, *, public_only: bool) -> PeerId:
        info, circuit = addresses.parse_peer(address), addresses.parse_circuit(address)
        peer = peer_id(info.peer_id)
        if self.is_connected(peer):
            return peer
        try:
            with trio.fail_after(deadline), one_error():
                # Not `raw.connect`: that dials all other known addresses, waits a quarter of a second even after
                # success, and refuses a peer for a minute after a failure.
                if circuit is None:
                    await names.dial(self.swarm, info.addrs[0], info.peer_id, public_only=public_only)
                else:
                    await self._dial_circuit(circuit, public_only=public_only)
        except CannotConnect as error:
            raise CannotConnect(f"cannot connect to {address}: {error}") from error
        except trio.TooSlowError as error:
            raise CannotConnect(f"{address} did not answer within {deadline:g} s") from error
        except (BaseLibp2pError, OSError) as error:
            raise CannotConnect(f"cannot connect to {address}: {root_cause(error)}") from error
        return peer

    def refresh_identify(self, peer: PeerId) -> None:
        """Identifies a connected peer again, if its record has lapsed or was forgotten. Does not wait."""
        self.raw._schedule_identify(parse_peer_id(peer), reason="asked again")

    async def disconnect(self, peer: PeerId) -> None:
        """Closes every connection to that peer. Raises BadAddress."""
        await self.raw.disconnect(parse_peer_id(peer))


def _any_live(connections: Iterable[object]) -> bool:
    return any(not connection.is_closed for connection in cast("Iterable[Yamux]", connections))
