"""Pubsub peer discovery: announcing our addresses every ten seconds, and dialling peers that we are not connected to.

Interoperates with `@libp2p/pubsub-peer-discovery`. A peer that writes here decides whom we dial, so: only a peer that
signed for itself, by the rules of `Dialler`, at most three of its addresses, direct ones first, and private addresses
only when we are on a private network ourselves.
"""

from __future__ import annotations

import trio

from pinning_worker.adapters.p2p.addresses import is_circuit, worth_dialling
from pinning_worker.adapters.p2p.bounds.intake import Heard
from pinning_worker.adapters.p2p.discovery.dialler import Dialler
from pinning_worker.adapters.p2p.discovery.pubsub_peer import BadPeerRecord, decode_peer, encode_peer
from pinning_worker.adapters.p2p.gossip.pubsub import Topic
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.ungroup import one_error

INTERVAL_SECONDS = 10.0
MOST_TRIES = 3


class PeerExchange:
    """On one topic; `run` until cancelled. `garbage` counts messages that hold no peer record, or another peer's."""

    def __init__(self, host: Host, topic: Topic) -> None:
        self.garbage = 0
        self._host = host
        self._topic = topic
        self._dialler = Dialler(host, "discovery topic", host.connect_on_hearsay)

    async def run(self) -> None:
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._speak)
                nursery.start_soon(self._listen)

    async def _speak(self) -> None:
        while True:
            self._topic.publish(encode_peer(self._host.raw.get_public_key(), self._host.places))
            await trio.sleep(INTERVAL_SECONDS)

    async def _listen(self) -> None:
        async for heard in self._topic.intake:
            if found := self._worth_dialling(heard):
                await self._dialler.dial(*found)

    def _worth_dialling(self, heard: Heard) -> list[str]:
        """The addresses to dial, with their /p2p/ ends; none: there is no need, no room, or no reason to believe it."""
        try:
            found = decode_peer(heard.data)
        except BadPeerRecord:
            self.garbage += 1
            return []
        if found.peer != heard.origin:
            self.garbage += 1
            return []
        if not self._dialler.wants(found.peer):
            return []
        ours = self._host.addresses
        may = [f"{one}/p2p/{found.peer}" for one in found.addresses if worth_dialling(one, ours)]
        return in_order(may)


def in_order(addresses: list[str]) -> list[str]:
    """At most MOST_TRIES of them: direct ones, and, if there is any, one at least through a relay, last."""
    direct = [each for each in addresses if not is_circuit(each)]
    relayed = [each for each in addresses if is_circuit(each)]
    first = direct[: MOST_TRIES - bool(relayed)]
    return [*first, *relayed[: MOST_TRIES - len(first)]]
