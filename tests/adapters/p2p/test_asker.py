"""Somebody who asks one worker: two real hosts over tcp, and a stranger on the same topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p import asker as asking
from pinning_worker.adapters.p2p.asker import open_asker
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.gossip.pubsub import Topic, open_pubsub
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host

TOPIC = "/test/1/message/proto"
NOWHERE = "/ip4/127.0.0.1/tcp/1/p2p/"


@asynccontextmanager
async def peer(swarm_key: bytes | None = None) -> AsyncIterator[tuple[Host, Topic]]:
    config = HostConfig(new_key(), ("/ip4/127.0.0.1/tcp/0",), swarm_key=swarm_key)
    async with open_host(config) as host, open_pubsub(host) as pubsub:
        yield host, await pubsub.join(TOPIC)


async def until_heard(say: Callable[[bytes], object], data: bytes, by: Topic) -> None:
    """Says it again until it is heard: the first may be lost."""
    with trio.fail_after(20):
        while True:
            say(data)
            with trio.move_on_after(0.5):
                assert (await by.intake.get()).data == data
                return


async def test_it_hears_the_worker_and_no_stranger() -> None:
    async with peer() as (worker, topic), peer() as (stranger, theirs):
        await stranger.connect(worker.addresses[0], 10)
        await until_heard(theirs.publish, b"an offer", topic)
        addresses = [NOWHERE + worker.peer_id, worker.addresses[0]]
        async with open_asker(addresses, TOPIC, None, MemoryBlocks()) as asker:
            assert asker.worker == worker.peer_id
            heard: list[bytes] = []
            with trio.move_on_after(3):
                while True:
                    theirs.publish(b"cheap")
                    topic.publish(b"true")
                    with trio.move_on_after(0.5):
                        heard.append(await asker.hear())
            assert set(heard) == {b"true"}


async def test_it_is_heard_in_a_private_network() -> None:
    async with (
        peer(bytes(32)) as (worker, topic),
        open_asker(worker.addresses, TOPIC, bytes(32), MemoryBlocks()) as asker,
    ):
        await until_heard(asker.say, b"please", topic)


async def test_nobody_there_is_told_for_each_address() -> None:
    there = [f"/ip4/127.0.0.1/tcp/{port}/p2p/12D3KooWBxSUtbGkDgZ7AX5XyjmFZT7ZkwbX1Zc3vuF57xJfQAFQ" for port in (1, 2)]
    with pytest.raises(CannotConnect, match=r"/tcp/1/.*; cannot connect to .*/tcp/2/"):
        async with open_asker(there, TOPIC, None, MemoryBlocks()):
            pass


async def test_another_topic_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SUBSCRIBED_SECONDS", 1.0)
    async with peer() as (worker, _):
        with pytest.raises(CannotConnect, match="is PINNING_TOPIC the same there"):
            async with open_asker(worker.addresses, "/other", None, MemoryBlocks()):
                pass
