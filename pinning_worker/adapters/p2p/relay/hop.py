"""Being a relay: a peer that nobody can dial reserves a place here, and others reach it through us.

The relay sends no Limit, for a limited circuit carries no bitswap; it enforces its bounds itself instead: places in
all, circuits in all and for each peer at either end, bytes for each circuit. It gives neither a place nor a circuit
over a connection that is itself relayed. One request a stream, as in every implementation.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.addresses import is_circuit
from pinning_worker.adapters.p2p.bounds.defaults import (
    RELAY_BYTES_PER_CIRCUIT,
    RELAY_CIRCUITS,
    RELAY_CIRCUITS_PER_PEER,
    RELAY_RESERVATIONS,
)
from pinning_worker.adapters.p2p.host.connections import direct_to, is_relayed
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.peer_ids import peer_id, remote_peer
from pinning_worker.adapters.p2p.relay import wire as messages
from pinning_worker.adapters.p2p.relay.circuit import carry
from pinning_worker.adapters.p2p.relay.reservations import Reservations
from pinning_worker.adapters.p2p.relay.wire import Gone, HopMessage, Status, StopMessage
from pinning_worker.domain.identities import PeerId

MOST_ADDRESSES = 16

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RelayCaps:
    """`relay_circuits_per_peer` counts circuits that begin and circuits that end at a peer together."""

    relay_reservations: int = RELAY_RESERVATIONS
    relay_circuits: int = RELAY_CIRCUITS
    relay_circuits_per_peer: int = RELAY_CIRCUITS_PER_PEER
    relay_bytes_per_circuit: int = RELAY_BYTES_PER_CIRCUIT


class _NotServed(Exception):
    """The request is refused with this status."""

    def __init__(self, status: Status.ValueType, why: str) -> None:
        super().__init__(why)
        self.status = status


class Hop:
    """The relay of a host. It serves from its making until the host ends.

    `welcome(peer)`: is it one of ours? Until it is set every peer is a newcomer (see `Reservations`).
    """

    def __init__(self, host: Host, caps: RelayCaps) -> None:
        self.caps = caps
        self.welcome: Callable[[PeerId], bool] = lambda _peer: False
        self.reservations = Reservations(caps.relay_reservations, self._is_welcome)
        self.carried_bytes = 0
        self._host = host
        self._circuits: Counter[PeerId] = Counter()
        self._open = 0
        host.on_disconnected.append(self._on_disconnected)
        host.raw.set_stream_handler(messages.HOP, self._on_stream)

    @property
    def circuits(self) -> int:
        """The number of circuits that are open or being opened."""
        return self._open

    async def _on_stream(self, stream: INetStream) -> None:
        self._host.note_use(remote_peer(stream))
        try:
            await self._serve(stream, await messages.read_message(stream, HopMessage))
        except _NotServed as refusal:
            _log.debug("relay.refused", peer=str(stream.muxed_conn.peer_id), reason=str(refusal))
            await self._answer(stream, refusal.status)
        except Gone as error:
            _log.debug("relay.stream_gone", peer=str(stream.muxed_conn.peer_id), reason=str(error))
            await messages.reset(stream)

    async def _serve(self, stream: INetStream, request: HopMessage) -> None:
        if is_relayed(stream.muxed_conn):
            raise _NotServed(Status.PERMISSION_DENIED, "asked over a relayed connection")
        if request.type == HopMessage.RESERVE:
            await self._reserve(stream)
        elif request.type == HopMessage.CONNECT:
            await self._connect(stream, request)
        else:
            raise _NotServed(Status.UNEXPECTED_MESSAGE, "neither RESERVE nor CONNECT")

    async def _reserve(self, stream: INetStream) -> None:
        """Reserves for the peer at the other end of this connection, whatever peer the message names."""
        peer = remote_peer(stream)
        seconds = self.reservations.ask(peer, trio.current_time(), self._host.address_of(peer))
        if seconds is None:
            full = len(self.reservations) >= self.caps.relay_reservations
            status = Status.RESOURCE_LIMIT_EXCEEDED if full else Status.PERMISSION_DENIED
            raise _NotServed(status, "no place left" if full else "not on our topic")
        _log.debug("relay.reserved", peer=peer, seconds=seconds, places_taken=len(self.reservations))
        direct = [address for address in self._host.raw.get_addrs() if not is_circuit(str(address))]
        addresses = [address.to_bytes() for address in direct]
        place = messages.Reservation(expire=int(time.time() + seconds), addrs=addresses[:MOST_ADDRESSES])
        await messages.write_message(stream, HopMessage(type=HopMessage.STATUS, status=Status.OK, reservation=place))
        await messages.close(stream)

    async def _connect(self, stream: INetStream, request: HopMessage) -> None:
        source = stream.muxed_conn.peer_id
        target = ID(request.peer.id)
        asked_for = peer_id(target)
        if not self.reservations.holds(asked_for, trio.current_time()):
            raise _NotServed(Status.NO_RESERVATION, "the peer that it asks for has no place here")
        with self._counted(peer_id(source), asked_for):
            onward = await self._stop(target, source)
            try:
                await messages.write_message(stream, HopMessage(type=HopMessage.STATUS, status=Status.OK))
            except Gone:
                await messages.reset(onward)
                raise
            await carry(stream, onward, self.caps.relay_bytes_per_circuit, self._carried)

    async def _stop(self, target: ID, source: ID) -> INetStream:
        """A stream to the target on which it has accepted the circuit."""
        connection = direct_to(self._host.swarm, target)
        if connection is None:
            raise _NotServed(Status.NO_RESERVATION, "the peer that it asks for has left")
        request = StopMessage(type=StopMessage.CONNECT, peer=messages.PeerId(id=source.to_bytes()))
        try:
            onward, answer = await messages.ask(connection, messages.STOP, request)
        except Gone as error:
            raise _NotServed(Status.CONNECTION_FAILED, f"the peer that it asks for: {error}") from error
        if answer.type != StopMessage.STATUS or answer.status != Status.OK:
            await messages.reset(onward)
            raise _NotServed(Status.CONNECTION_FAILED, "the peer that it asks for refused")
        return onward

    @contextmanager
    def _counted(self, source: PeerId, target: PeerId) -> Iterator[None]:
        most = self.caps.relay_circuits_per_peer
        if self._open >= self.caps.relay_circuits or self._circuits[source] >= most or self._circuits[target] >= most:
            raise _NotServed(Status.RESOURCE_LIMIT_EXCEEDED, "too many circuits")
        self._open += 1
        self._circuits.update((source, target))
        try:
            yield
        finally:
            self._open -= 1
            self._circuits.subtract((source, target))
            self._circuits = +self._circuits  # forgets the zeros

    def _carried(self, amount: int) -> None:
        self.carried_bytes += amount

    async def _answer(self, stream: INetStream, status: Status.ValueType) -> None:
        try:
            await messages.write_message(stream, HopMessage(type=HopMessage.STATUS, status=status))
        except Gone:
            await messages.reset(stream)
        else:
            await messages.close(stream)

    def _is_welcome(self, peer: PeerId) -> bool:
        return self.welcome(peer)

    def _on_disconnected(self, peer: PeerId) -> None:
        if not self._host.is_connected(peer):
            self.reservations.forget(peer)
