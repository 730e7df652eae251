"""Dialling those of whom strangers tell us. Who tells decides whom we knock on, so:

one dial at a time and one a second, the same peer again after five minutes at the earliest, and nobody once half of our
connections are in use. Which addresses are to be believed is for the way in which they were found (peer_exchange.py,
mdns.py).
"""

from __future__ import annotations

from collections import OrderedDict

import structlog
import trio

from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.host import Host

DIAL_SECONDS = 10.0
BETWEEN_DIALS_SECONDS = 1.0
SAME_PEER_SECONDS = 300.0
MOST_REMEMBERED = 1000

_log = structlog.get_logger(__name__)


class Dialler:
    """For one way of finding peers, whose name is in the log. One task asks `wants`, then `dial`s."""

    def __init__(self, host: Host, found_by: str) -> None:
        self._host = host
        self._found_by = found_by
        self._tried: OrderedDict[str, float] = OrderedDict()

    def wants(self, peer: str) -> bool:
        """Shall it be dialled now? Who was wanted is not wanted again for a while, whatever came of it."""
        if peer == self._host.peer_id or self._host.is_connected(peer) or self._host.half_full:
            return False
        return not self._tried_lately(peer)

    async def dial(self, *addresses: str) -> None:
        """One peer, by each of its `…/p2p/PEER` until one answers. A moment later the next one may be dialled."""
        for address in addresses:
            if await self._answered(address):
                break
        await trio.sleep(BETWEEN_DIALS_SECONDS)

    async def _answered(self, address: str) -> bool:
        try:
            await self._host.connect(address, DIAL_SECONDS)
        except (CannotConnect, BadAddress) as error:
            _log.debug("discovery.not_connected", address=address, found_by=self._found_by, reason=str(error))
            return False
        _log.info("discovery.connected", address=address, found_by=self._found_by)
        return True

    def _tried_lately(self, peer: str) -> bool:
        now = trio.current_time()
        if now - self._tried.get(peer, -SAME_PEER_SECONDS) < SAME_PEER_SECONDS:
            return True
        self._tried[peer] = now
        self._tried.move_to_end(peer)
        if len(self._tried) > MOST_REMEMBERED:
            self._tried.popitem(last=False)
        return False
