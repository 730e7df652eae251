"""Pubsub peer discovery: saying where we are every ten seconds, and dialling those we are not connected to.

Interoperates with `@libp2p/pubsub-peer-discovery`. Whoever writes here decides whom we dial, so: only a peer that
signed for itself, one dial at a time and one a second, the same peer again after five minutes at the earliest, never
once half of our connections are in use, and private addresses only when we are on a private network ourselves.
"""

from __future__ import annotations

from collections import OrderedDict

import structlog
import trio
from multiaddr.protocols import P_P2P

from pinning_worker.adapters.p2p.addresses import parse, worth_dialling
from pinning_worker.adapters.p2p.discovery import BadPeerRecord, decode_peer, encode_peer
from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.host import Host
from pinning_worker.adapters.p2p.intake import Heard
from pinning_worker.adapters.p2p.pubsub import Topic
from pinning_worker.one_error import one_error

INTERVAL_SECONDS = 10.0
DIAL_SECONDS = 10.0
BETWEEN_DIALS_SECONDS = 1.0
SAME_PEER_SECONDS = 300.0
MOST_REMEMBERED = 1000

_log = structlog.get_logger(__name__)


class PeerExchange:
    """On one topic; `run` until cancelled. `garbage` counts what was no peer record, or not the sender's own."""

    def __init__(self, host: Host, topic: Topic) -> None:
        self.garbage = 0
        self._host = host
        self._topic = topic
        self._tried: OrderedDict[str, float] = OrderedDict()

    async def run(self) -> None:
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._speak)
                nursery.start_soon(self._listen)

    async def _speak(self) -> None:
        while True:
            where = [parse(text).decapsulate_code(P_P2P) for text in self._host.addresses]
            self._topic.publish(encode_peer(self._host.raw.get_public_key(), where))
            await trio.sleep(INTERVAL_SECONDS)

    async def _listen(self) -> None:
        async for heard in self._topic.intake:
            address = self._worth_dialling(heard)
            if address is not None:
                await self._dial(address)

    def _worth_dialling(self, heard: Heard) -> str | None:
        """The address to dial, with its /p2p/ end; None if there is no need, no room, or no reason to believe it."""
        try:
            found = decode_peer(heard.data)
        except BadPeerRecord:
            self.garbage += 1
            return None
        if found.peer != heard.origin:
            self.garbage += 1
            return None
        if self._host.is_connected(found.peer) or self._tried_lately(found.peer) or self._host.half_full:
            return None
        return next((f"{one}/p2p/{found.peer}" for one in found.addresses if self._may_dial(one)), None)

    def _tried_lately(self, peer: str) -> bool:
        now = trio.current_time()
        if now - self._tried.get(peer, -SAME_PEER_SECONDS) < SAME_PEER_SECONDS:
            return True
        self._tried[peer] = now
        self._tried.move_to_end(peer)
        if len(self._tried) > MOST_REMEMBERED:
            self._tried.popitem(last=False)
        return False

    def _may_dial(self, address: str) -> bool:
        return worth_dialling(address, self._host.addresses)

    async def _dial(self, address: str) -> None:
        try:
            await self._host.connect(address, DIAL_SECONDS)
            _log.info("discovery.connected", address=address)
        except (CannotConnect, BadAddress) as error:
            _log.debug("discovery.not_connected", address=address, reason=str(error))
        await trio.sleep(BETWEEN_DIALS_SECONDS)
