"""From which address a connected peer comes, as it is counted when places and budgets are shared.

An IPv6 address is its /64. Who comes through a relay counts for that relay, for circuits are made up for nothing. Of a
peer behind a proxy, and of one whose socket is not to be seen (webrtc), nothing is known: it is empty, and such a peer
is its own address.
"""

from __future__ import annotations

from typing import Any

from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.addresses import relay_in
from pinning_worker.adapters.p2p.cures.half_open import ip_of, network_of, socket_under
from pinning_worker.adapters.p2p.host import Host

MOST_REMEMBERED = 10_000


class Whereabouts:
    """Looked up once for each connection: the newest one counts."""

    def __init__(self, host: Host, proxies: frozenset[str]) -> None:
        self._host = host
        self._proxies = proxies
        self._known: dict[str, str] = {}
        host.on_connected.append(self._forget)
        host.on_disconnected.append(self._forget)

    def of(self, peer: str) -> str:
        """Empty: unknown, or not connected."""
        if (known := self._known.get(peer)) is not None:
            return known
        connections = self._host.swarm.get_connections(ID.from_base58(peer))
        found = next((_address(each.muxed_conn) for each in reversed(connections) if not each.is_closed), "")
        found = "" if found in self._proxies else found
        if len(self._known) < MOST_REMEMBERED:
            self._known[peer] = found
        return found

    def _forget(self, peer: str) -> None:
        self._known.pop(peer, None)


def _address(connection: Any) -> str:
    for address in connection.get_transport_addresses():
        if relay := relay_in(str(address)):
            return relay
    stream = socket_under(getattr(connection, "secured_conn", None))  # webrtc's has none
    ip = ip_of(stream) if stream is not None else ""
    return network_of(ip) if ip else ""
