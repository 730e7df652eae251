"""Gossip with a real Helia: whatever happens to connections, both hear each other, and nothing that is said is lost."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import pytest
import trio
from libp2p.crypto.keys import KeyPair
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.discovery.peer_exchange import PeerExchange
from pinning_worker.adapters.p2p.discovery.pubsub_peer import encode_peer
from pinning_worker.adapters.p2p.gossip.pubsub import Topic, open_pubsub
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import encode_key, new_key, peer_id_of
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.peer_ids import parse_peer_id
from tests.interop.frozen_line import open_line
from tests.interop.helia import CONTENT_TOPIC, LOCAL_TCP, LOCAL_WS, Heard, Helia, open_helia
from tests.interop.node_binary import NODE_PROJECT, needs_node, node_binary

pytestmark = [pytest.mark.interop, needs_node]

DISCOVERY = "doichain._peer-discovery._p2p._pubsub"
SEED = bytes(31) + b"\x07"
TRANSPORTS = pytest.mark.parametrize("over", [0, 1], ids=["tcp", "ws"])


@asynccontextmanager
async def open_worker(*listen: str, key: KeyPair | None = None) -> AsyncIterator[tuple[Host, Topic]]:
    config = HostConfig(key or new_key(), listen or (LOCAL_TCP, LOCAL_WS))
    async with open_host(config) as host, open_pubsub(host) as pubsub:
        yield host, await pubsub.join(CONTENT_TOPIC)


async def hear(topic: Topic, text: str) -> str:
    """Until the worker has heard that text; returns the peer id of who said it."""
    with trio.fail_after(60):
        async for heard in topic.intake:
            if heard.data == text.encode():
                return heard.origin
    raise AssertionError


async def know_each_other(helia: Helia, host: Host, topic: Topic) -> None:
    """Whoever of them speaks first is heard. Helia's mesh may stand before the worker has read who subscribes."""
    await helia.wait_mesh(peer_id=host.peer_id)
    with trio.fail_after(60):
        while not topic.has_subscriber(helia.peer_id):  # noqa: ASYNC110  the library tells nobody
            await trio.sleep(0.01)


def is_text(text: str, message: Heard) -> bool:
    return message.text == text


async def talk(helia: Helia, topic: Topic, word: str) -> None:
    """One message each way, each said once."""
    await helia.publish(f"{word}?")
    assert await hear(topic, f"{word}?") == helia.peer_id
    topic.publish(f"{word}!".encode())
    await helia.heard(lambda message: message.text == f"{word}!")


@TRANSPORTS
async def test_both_hear_each_other(over: int) -> None:
    async with open_worker() as (host, topic), open_helia(listen=()) as helia:
        assert await helia.dial(host.addresses[over]) == host.peer_id
        await helia.wait_mesh(peer_id=host.peer_id)
        await talk(helia, topic, "hello")
        assert topic.subscribers == 1
        assert topic.mesh_peers == [helia.peer_id]


@TRANSPORTS
async def test_two_hundred_answers_all_arrive_in_order(over: int) -> None:
    answers = [f'{{"status":"ADDING-CID","n":{n},"pad":"{"x" * 400}"}}' for n in range(200)]
    async with open_worker() as (host, topic), open_helia(listen=()) as helia:
        await helia.dial(host.addresses[over])
        await know_each_other(helia, host, topic)
        for answer in answers:
            assert topic.publish(answer.encode())
        await helia.heard(lambda message: message.text == answers[-1])
        assert [message.text for message in helia.transcript] == answers


@TRANSPORTS
@pytest.mark.parametrize("due", [200, 1_000])
async def test_a_peer_that_stands_still_for_three_seconds_hears_all_answers_afterwards(over: int, due: int) -> None:
    answers = [f'{{"status":"ADDING-CID","n":{n},"pad":"{"x" * 400}"}}' for n in range(due)]
    async with open_worker() as (host, topic), open_helia(listen=()) as helia:
        await helia.dial(host.addresses[over])
        await know_each_other(helia, host, topic)
        async with helia.standing_still():
            for answer in answers:
                assert topic.publish(answer.encode())
            with trio.fail_after(60):
                while topic.unsent:  # noqa: ASYNC110  the publisher tells nobody
                    await trio.sleep(0.01)
            await trio.sleep(3)
            assert not helia.transcript
        await helia.heard(lambda message: message.text == answers[-1], deadline=60)
        assert [message.text for message in helia.transcript] == answers


@TRANSPORTS
async def test_a_restarted_worker_is_heard_at_once_and_hears(over: int) -> None:
    key = new_key()
    async with open_helia(listen=()) as helia:
        listen: tuple[str, ...] = ()
        for life in range(3):
            async with open_worker(*listen, key=key) as (host, topic):
                listen = tuple(address.partition("/p2p/")[0] for address in host.addresses)
                await helia.dial(host.addresses[over])
                await know_each_other(helia, host, topic)
                for n in range(20):  # more than seconds pass: message numbers must not begin in the past
                    topic.publish(f"{life} {n}".encode())
                await helia.heard(partial(is_text, f"{life} 19"))
                await talk(helia, topic, f"life {life}")
        assert len(helia.heard_so_far(lambda message: message.text[1] == " ")) == 60


@TRANSPORTS
async def test_a_peer_that_hangs_up_and_dials_again_at_once(over: int) -> None:
    async with open_worker() as (host, topic), open_helia(listen=()) as helia:
        for time in range(5):
            await helia.dial(host.addresses[over])
            await helia.wait_mesh(peer_id=host.peer_id)
            await talk(helia, topic, f"time {time}")
            await helia.hangup(host.peer_id)


@TRANSPORTS
async def test_a_peer_that_joins_while_large_messages_are_about(over: int) -> None:
    """It gets the newest at once, while others come: none of them cut in two by another."""
    async with open_worker() as (host, topic), trio.open_nursery() as nursery:
        nursery.start_soon(say_large_things, topic)
        for time in range(3):
            async with open_helia(listen=()) as helia:
                await helia.dial(host.addresses[over])
                await know_each_other(helia, host, topic)
                await talk(helia, topic, f"time {time}")
        nursery.cancel_scope.cancel()


async def say_large_things(topic: Topic) -> None:
    for number in count():
        topic.publish(b"%d" % number + bytes(200_000))
        await trio.sleep(0.1)


@TRANSPORTS
async def test_a_peer_that_has_forgotten_us_though_we_are_connected_is_spoken_to_again(over: int) -> None:
    """As js-libp2p forgets whoever sends it a frame that is none: it ends the streams, and waits for us to begin."""
    async with open_worker() as (host, topic), open_helia(listen=()) as helia:
        await helia.dial(host.addresses[over])
        await know_each_other(helia, host, topic)
        await topic._pubsub.peers[parse_peer_id(helia.peer_id)].write(b"\xff" * 16)
        with trio.fail_after(60):
            while not helia.heard_so_far(lambda message: message.text == "again"):
                topic.publish(b"again")
                await trio.sleep(0.2)
        await know_each_other(helia, host, topic)
        await talk(helia, topic, "and")


@TRANSPORTS
async def test_a_peer_that_comes_back_while_its_old_connection_hangs(over: int) -> None:
    """Its line freezes, its process dies, nobody tells us; a new process with the same key dials us directly."""
    async with open_worker() as (host, topic), open_line(host.addresses[over]) as line:
        async with open_helia(listen=(), seed=SEED) as first:
            await first.dial(line.address)
            await first.wait_mesh(peer_id=host.peer_id)
            await talk(first, topic, "first")
            line.freeze()
        async with open_helia(listen=(), seed=SEED) as second:
            await second.dial(host.addresses[over])
            await second.wait_mesh(peer_id=host.peer_id)
            for time in range(5):
                await talk(second, topic, f"second {time}")
            assert len(host.swarm.get_connections(parse_peer_id(second.peer_id))) == 2  # the old one hangs still


async def test_a_worker_that_dials_is_heard() -> None:
    async with open_helia() as helia, open_worker() as (host, topic):
        for address in (helia.tcp_addr, helia.ws_addr):
            assert await host.connect(address, deadline=20) == helia.peer_id
            await helia.wait_mesh(peer_id=host.peer_id)
            await talk(helia, topic, address)
            await host.disconnect(helia.peer_id)


async def test_a_bootstrap_peer_that_restarts_is_found_again() -> None:
    async with open_helia(seed=SEED) as helia:
        listen, address = [helia.tcp_addr.partition("/p2p/")[0]], helia.tcp_addr
    config = HostConfig(new_key(), (LOCAL_TCP,), bootstrap=(address,))
    async with open_host(config) as host, open_pubsub(host) as pubsub:
        topic = await pubsub.join(CONTENT_TOPIC)
        for word in ("once", "again"):
            async with open_helia(listen, seed=SEED) as helia:
                await helia.wait_mesh(peer_id=host.peer_id, deadline=90)  # each failure doubles the wait
                await talk(helia, topic, word)


async def test_peers_find_each_other_by_discovery() -> None:
    """A peer that both know carries a Helia's record to a worker, which dials it."""
    async with (
        open_host(HostConfig(new_key(), (LOCAL_TCP,))) as hub,
        open_host(HostConfig(new_key(), (LOCAL_TCP,))) as seeker,
        open_pubsub(hub) as hub_pubsub,
        open_pubsub(seeker) as seeker_pubsub,
        open_helia([LOCAL_TCP], discovery=DISCOVERY) as helia,
        trio.open_nursery() as nursery,
    ):
        await hub_pubsub.join(DISCOVERY)
        nursery.start_soon(PeerExchange(seeker, await seeker_pubsub.join(DISCOVERY)).run)
        await seeker.connect(hub.addresses[0], deadline=20)
        await helia.dial(hub.addresses[0])
        with trio.fail_after(60):
            while not seeker.is_connected(helia.peer_id):
                await seeker.changed()
        nursery.cancel_scope.cancel()


def test_the_library_reads_our_record() -> None:
    key = new_key()
    record = encode_peer(key.public_key, [Multiaddr("/ip4/127.0.0.1/tcp/4001/ws")])
    script = f"""
        import {{ Peer }} from './node_modules/@libp2p/pubsub-peer-discovery/dist/src/peer.js'
        import {{ publicKeyFromProtobuf }} from '@libp2p/crypto/keys'
        import {{ peerIdFromPublicKey }} from '@libp2p/peer-id'
        import {{ multiaddr }} from '@multiformats/multiaddr'
        const peer = Peer.decode(Buffer.from('{record.hex()}', 'hex'))
        console.log(`${{peerIdFromPublicKey(publicKeyFromProtobuf(peer.publicKey))}}`)
        for (const address of peer.addrs) console.log(`${{multiaddr(address)}}`)
    """
    command = [str(node_binary()), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=NODE_PROJECT, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == [peer_id_of(key), "/ip4/127.0.0.1/tcp/4001/ws"], done.stderr


async def test_our_key_file_makes_the_same_peer_in_javascript() -> None:
    key = new_key()
    async with open_helia(listen=(), private_key=encode_key(key)) as helia:
        assert helia.peer_id == peer_id_of(key)
