"""The other side of the topic: a peer that asks one worker, and serves it the blocks that it fetches.

    async with open_asker(addresses, topic, swarm_key, blocks) as asker:
        asker.say(b'{"type":"NEW-CID",…}')
        said = await asker.hear()

A host of its own with a key of its own that listens nowhere: the worker fetches over the connection that we opened, as
from a browser. Anybody can speak on a topic, so the asker hears only messages that this worker has signed. A lost
connection is opened again while the block runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.adapters.p2p.discovery.bootstrap import LONGEST_WAIT_FOR_DIRECT_SECONDS, stay_connected
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.gossip.pubsub import Topic, open_pubsub
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.content import Blocks
from pinning_worker.ungroup import one_error

DIAL_SECONDS = 10.0
SUBSCRIBED_SECONDS = 15.0
LOOK_SECONDS = 0.05


class Asker:
    """Made by `open_asker` only. `worker` is the peer id of the worker that we ask."""

    def __init__(self, worker: PeerId, topic: Topic) -> None:
        self.worker = worker
        self._topic = topic

    def say(self, data: bytes) -> None:
        self._topic.publish(data)

    async def hear(self) -> bytes:
        """The next message of the worker; waits for it."""
        while True:
            heard = await self._topic.intake.get()
            if heard.origin == self.worker:
                return heard.data


@asynccontextmanager
async def open_asker(
    addresses: Sequence[str], topic: str, swarm_key: bytes | None, blocks: Blocks
) -> AsyncIterator[Asker]:
    """`addresses`, of one worker, are tried in order. Raises BadAddress, CannotConnect."""
    config = HostConfig(key=new_key(), listen=(), swarm_key=swarm_key)
    with one_error():
        async with open_host(config) as host, open_pubsub(host) as pubsub, trio.open_nursery() as nursery:
            joined = await pubsub.join(topic)
            await nursery.start(Engine(host, blocks).run)
            address, worker = await _connect(host, addresses)
            nursery.start_soon(stay_connected, host, address, LONGEST_WAIT_FOR_DIRECT_SECONDS)
            await _until_subscribed(joined, worker)
            yield Asker(worker, joined)
            nursery.cancel_scope.cancel()


async def _connect(host: Host, addresses: Sequence[str]) -> tuple[str, PeerId]:
    """(the address that answered, the peer id). Raises BadAddress, CannotConnect."""
    reasons = []
    for address in addresses:
        try:
            return address, await host.connect(address, DIAL_SECONDS)
        except CannotConnect as error:
            reasons.append(str(error))
    raise CannotConnect("; ".join(reasons) or "no address to dial")


async def _until_subscribed(topic: Topic, worker: PeerId) -> None:
    with trio.move_on_after(SUBSCRIBED_SECONDS):
        while not topic.has_subscriber(worker):  # noqa: ASYNC110  the library has no event for it
            await trio.sleep(LOOK_SECONDS)
        return
    raise CannotConnect(
        f"{worker} is connected, but does not listen on the topic {topic.name}: is PINNING_TOPIC the same there?"
    )
