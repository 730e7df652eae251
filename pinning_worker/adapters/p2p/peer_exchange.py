"""Pubsub peer discovery: saying where we are every ten seconds, and dialling those we are not connected to.

Interoperates with `@libp2p/pubsub-peer-discovery`. Whoever writes here decides whom we dial, so: only a peer that
signed for itself, by the rules of `Dialler`, and private addresses only when we are on a private network ourselves.
"""

from __future__ import annotations

import trio
from multiaddr.protocols import P_P2P

from pinning_worker.adapters.p2p.addresses import parse, worth_dialling
from pinning_worker.adapters.p2p.dialler import Dialler
from pinning_worker.adapters.p2p.discovery import BadPeerRecord, decode_peer, encode_peer
from pinning_worker.adapters.p2p.host import Host
from pinning_worker.adapters.p2p.intake import Heard
from pinning_worker.adapters.p2p.pubsub import Topic
from pinning_worker.one_error import one_error

INTERVAL_SECONDS = 10.0


class PeerExchange:
    """On one topic; `run` until cancelled. `garbage` counts what was no peer record, or not the sender's own."""

    def __init__(self, host: Host, topic: Topic) -> None:
        self.garbage = 0
        self._host = host
        self._topic = topic
        self._dialler = Dialler(host, "discovery topic")

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
                await self._dialler.dial(address)

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
        if not self._dialler.wants(found.peer):
            return None
        return next((f"{one}/p2p/{found.peer}" for one in found.addresses if self._may_dial(one)), None)

    def _may_dial(self, address: str) -> bool:
        return worth_dialling(address, self._host.addresses)
