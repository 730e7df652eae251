"""Dialling peers that strangers name. The stranger chooses whom we knock on, so:

one peer at a time and one a second, the same peer again after five minutes at the earliest, and none once half of our
connections are in use. A relay that has to be dialled on the way to a peer counts as a peer. Each way of finding
decides which addresses to believe (peer_exchange.py, mdns.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog
import trio

from pinning_worker.adapters.p2p.addresses import parse_circuit
from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.peer_ids import peer_id
from pinning_worker.domain.identities import PeerId

DIAL_SECONDS = 8.0
BETWEEN_DIALS_SECONDS = 1.0
SAME_PEER_SECONDS = 300.0
MOST_REMEMBERED = 1000

_log = structlog.get_logger(__name__)

Connect = Callable[[str, float], Awaitable[PeerId]]


class Dialler:
    """For one way of finding peers, whose name is in the log. One task asks `wants`, then `dial`s.

    `connect`: `Host.connect`, or `Host.connect_on_hearsay` where addresses are mere hearsay.
    """

    def __init__(self, host: Host, found_by: str, connect: Connect | None = None) -> None:
        self._host = host
        self._connect = connect or host.connect
        self._found_by = found_by
        self._tried: OrderedDict[PeerId, float] = OrderedDict()

    def wants(self, peer: PeerId) -> bool:
        """Shall it be dialled now? A wanted peer is not wanted again for a while, whatever came of it."""
        if peer == self._host.peer_id or self._host.is_connected(peer) or self._host.half_full:
            return False
        return not self._tried_lately(peer)

    async def dial(self, *addresses: str) -> None:
        """Dials one peer, by each of its `…/p2p/PEER` until one answers. A moment later the next one may be dialled."""
        relays: set[PeerId] = set()
        for address in addresses:
            if self._may_go_through(address, relays) and await self._answered(address):
                break
        await trio.sleep(BETWEEN_DIALS_SECONDS)

    def _may_go_through(self, address: str, relays: set[PeerId]) -> bool:
        """`relays`: the relays of this peer's other addresses; the same relay may serve again."""
        try:
            circuit = parse_circuit(address)
        except BadAddress:
            return False
        if circuit is None:
            return True
        relay = peer_id(circuit.relay)
        if relay not in relays and not self._host.is_connected(relay) and not self.wants(relay):
            return False
        relays.add(relay)
        return True

    async def _answered(self, address: str) -> bool:
        try:
            await self._connect(address, DIAL_SECONDS)
        except (CannotConnect, BadAddress) as error:
            _log.debug("discovery.not_connected", address=address, found_by=self._found_by, reason=str(error))
            return False
        _log.info("discovery.connected", address=address, found_by=self._found_by)
        return True

    def _tried_lately(self, peer: PeerId) -> bool:
        now = trio.current_time()
        if now - self._tried.get(peer, -SAME_PEER_SECONDS) < SAME_PEER_SECONDS:
            return True
        self._tried[peer] = now
        self._tried.move_to_end(peer)
        if len(self._tried) > MOST_REMEMBERED:
            self._tried.popitem(last=False)
        return False
