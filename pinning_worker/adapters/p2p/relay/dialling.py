"""Dialling through a relay: `…/p2p/RELAY/p2p-circuit/p2p/PEER`.

We ask the relay for the peer on a direct connection, which is dialled if there is none. After the relay's OK the stream
is a wire to that peer, and becomes a connection like any other: the relay can neither read it nor put somebody else at
its end.

A circuit with a Limit is reset at once. js-libp2p and Kubo carry neither bitswap nor gossip over one, so a fetch would
wait for nothing; and an existing connection would keep us from trying another address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.addresses import Circuit
from pinning_worker.adapters.p2p.errors import CannotConnect, NoCircuit, root_cause
from pinning_worker.adapters.p2p.host import dns_dialling as names
from pinning_worker.adapters.p2p.host.connections import direct_to
from pinning_worker.adapters.p2p.host.protected_connection import ProtectedConnection
from pinning_worker.adapters.p2p.relay import wire as messages
from pinning_worker.adapters.p2p.relay.connections import as_connection
from pinning_worker.adapters.p2p.relay.wire import Gone, HopMessage, Status

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.network.swarm import Swarm


class CircuitDialler:
    """Dials the circuits of one host. Every wait ends with the caller's scope, and sooner if a relay falls silent."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._dialling: WeakValueDictionary[ID, trio.Lock] = WeakValueDictionary()

    async def dial(self, circuit: Circuit, *, public_only: bool = False) -> None:
        """Connects with the peer at its end. Raises NoCircuit, which names the side that failed; then only the
        connection to the relay stays open."""
        connection = await self._to_relay(circuit, public_only=public_only)
        stream = await _opened(connection, circuit.peer)
        try:
            await self._upgrade(stream, circuit.peer)
        except BaseException as error:
            await messages.reset(stream)
            if isinstance(error, Exception):  # the other side's bytes may make a handshake raise anything
                raise NoCircuit(f"the relay let us through, but not to that peer: {root_cause(error)}") from error
            raise

    async def _to_relay(self, circuit: Circuit, *, public_only: bool) -> SwarmConn:
        """Several dials through one relay at the same time share one connection to it."""
        relay = circuit.relay
        if relay == self._swarm.get_peer_id():
            raise NoCircuit("we are that relay ourselves, and the peer is not connected")
        lock = self._dialling.setdefault(relay, trio.Lock())
        async with lock:
            try:
                if (connection := direct_to(self._swarm, relay)) is not None:
                    return connection
                return await names.dial(self._swarm, circuit.relay_address, relay, public_only=public_only)
            except (CannotConnect, BaseLibp2pError, OSError) as error:
                raise NoCircuit(f"cannot connect to the relay: {root_cause(error)}") from error

    async def _upgrade(self, stream: INetStream, peer: ID) -> None:
        wire = as_connection(stream, peer, initiator=True)
        if self._swarm.psk is not None:  # inside `upgrade_inbound_raw_conn` the library does so itself
            wire = ProtectedConnection(wire, bytes.fromhex(self._swarm.psk))
        await self._swarm.upgrade_outbound_raw_conn(wire, peer)


async def _opened(connection: SwarmConn, peer: ID) -> INetStream:
    """The stream that the relay joined to that peer, without a Limit. Raises NoCircuit."""
    request = HopMessage(type=HopMessage.CONNECT, peer=messages.PeerId(id=peer.to_bytes()))
    try:
        stream, answer = await messages.ask(connection, messages.HOP, request)
    except Gone as error:
        raise NoCircuit(f"the relay gave no answer, or is none: {error}") from error
    if answer.type == HopMessage.STATUS and answer.status == Status.OK:
        limit = messages.limit_of(answer)
        if limit is None:
            return stream
        refusal = f"its relay limits circuits to {limit.duration} s and {limit.data} bytes: no content goes through it"
    else:
        refusal = f"the relay refuses: {messages.in_words(answer.status)}"
    await messages.reset(stream)
    raise NoCircuit(refusal)
