"""The address at which a peer counts when places and budgets are shared. This page is the only rule.

An IPv6 address counts by its /64. A peer that comes through a relay counts where the relay does, for making up circuits
costs nothing, and neither does making up relays. The address is empty for a peer behind a proxy, and for one whose
socket is gone; such a peer is its own address (behind such a relay: the relay's peer id).
"""

from __future__ import annotations

from typing import Any

from pinning_worker.adapters.p2p.addresses import relay_in
from pinning_worker.adapters.p2p.bounds.door import counted_as
from pinning_worker.adapters.p2p.host.connections import direct_to
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.sockets import ip_under
from pinning_worker.adapters.p2p.peer_ids import library_id
from pinning_worker.domain.identities import NO_PEER, PeerId

MOST_REMEMBERED = 10_000


class Whereabouts:
    """`of` a peer: looked up once for each connection; the newest one counts."""

    def __init__(self, host: Host, proxies: frozenset[str]) -> None:
        self._host = host
        self._proxies = proxies
        self._known: dict[PeerId, str] = {}
        host.on_connected.append(self._forget)
        host.on_disconnected.append(self._forget)

    def of(self, peer: PeerId) -> str:
        """Empty: unknown, or not connected."""
        if (known := self._known.get(peer)) is not None:
            return known
        connections = self._host.swarm.get_connections(library_id(peer))
        newest = next((each.muxed_conn for each in reversed(connections) if not each.is_closed), None)
        if newest is None:
            return ""  # not remembered: no event would make us forget it
        found = self.under(newest)
        if len(self._known) < MOST_REMEMBERED:
            self._known[peer] = found
        return found

    def under(self, connection: Any) -> str:
        """The address of one connection, as its muxer has it."""
        if relay := _relay_of(connection):
            wire = direct_to(self._host.swarm, library_id(relay))
            return (counted_as(ip_under(wire.muxed_conn), self._proxies) if wire else "") or relay
        return counted_as(ip_under(connection), self._proxies)

    def _forget(self, peer: PeerId) -> None:
        self._known.pop(peer, None)


def _relay_of(connection: Any) -> PeerId:
    return next(filter(None, (relay_in(str(each)) for each in connection.get_transport_addresses())), NO_PEER)
