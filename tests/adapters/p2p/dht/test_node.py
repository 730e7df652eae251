"""DHT nodes of ours on loopback: what a stranger can do to a server, and whom strangers can make us dial."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.kad_dht.pb.kademlia_pb2 import Message, Record
from libp2p.peer import peerdata
from libp2p.peer.peerstore import PeerStore
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.dht import node as node_module
from pinning_worker.adapters.p2p.dht import server as server_module
from pinning_worker.adapters.p2p.dht import talk as talk_module
from pinning_worker.adapters.p2p.dht.contacts import Contact, read_contacts, read_message, write_contact
from pinning_worker.adapters.p2p.dht.node import Dht
from pinning_worker.adapters.p2p.dht.records import MOST_OF_ONE
from pinning_worker.adapters.p2p.dht.talk import PUBLIC
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.frames import GONE, FrameReader, StreamGone, write_frame
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.peer_ids import library_id
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.ungroup import one_error

TCP = "/ip4/127.0.0.1/tcp/0"
KEY = Multihash(b"\x12\x20" + secrets.token_bytes(32))


@dataclass(frozen=True)
class Node:
    host: Host
    dht: Dht

    @property
    def contact(self) -> Contact:
        return Contact(self.host.peer_id, tuple(address.split("/p2p/")[0] for address in self.host.addresses))


@asynccontextmanager
async def open_dht(*, serves: bool = False, config: HostConfig | None = None) -> AsyncIterator[Node]:
    config = replace(config or HostConfig(new_key(), (TCP,)), key=new_key())
    async with open_host(config) as host:
        dht = Dht(host, serves=serves)
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dht.run)
                yield Node(host, dht)
                nursery.cancel_scope.cancel()


async def meet(node: Node, server: Node) -> None:
    """Connected, and the server known for one."""
    await node.host.connect(server.host.addresses[0], 10)
    with trio.fail_after(20):
        while server.contact.peer not in [contact.peer for contact in node.dht._closest(KEY)]:  # noqa: ASYNC110
            await trio.sleep(0.05)


@pytest.mark.parametrize("stays", [True, False], ids=["connected all the while", "back after a while"])
async def test_a_server_that_did_not_answer_once_is_found_again_hours_later(
    monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    monkeypatch.setattr(node_module, "REFRESH_SECONDS", 0.2)
    async with open_dht(serves=True) as server, open_dht() as node:
        await meet(node, server)
        monkeypatch.setattr(peerdata, "time", SimpleNamespace(time=lambda: time.time() + 3 * 3600))
        if not stays:
            await node.host.disconnect(server.host.peer_id)
        node.dht.table.remove(server.host.peer_id)
        await meet(node, server)


def protocols_of(peer: Host, at: Host) -> list[str]:
    known = cast("PeerStore", at.raw.get_peerstore()).peer_data_map.get(library_id(peer.peer_id))
    return known.get_protocols() if known else []


async def test_who_says_it_is_where_nobody_can_read_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: an address of two bytes in an identify push, and the next look into the DHT ends the process."""
    monkeypatch.setattr(node_module, "REFRESH_SECONDS", 0.2)
    async with open_dht() as node, open_host(HostConfig(new_key(), (TCP,))) as liar:
        await liar.connect(node.host.addresses[0], 10)
        with trio.fail_after(10):
            while not protocols_of(liar, node.host):  # noqa: ASYNC110  identify
                await trio.sleep(0.05)
        told = Identify(protocols=[PUBLIC], listen_addrs=[b"\xff\xff", b"\x2a\x03a/b", liar.places[0].to_bytes()])
        stream = await liar.raw.new_stream(library_id(node.host.peer_id), [IDENTIFY_PUSH])
        await stream.write(encode_varint_prefixed(told.SerializeToString()))
        with trio.fail_after(10):
            while liar.peer_id not in [each.peer for each in node.dht._closest(KEY)]:  # noqa: ASYNC110
                await trio.sleep(0.05)
        (contact,) = node.dht._closest(KEY)
        assert contact.addresses == (str(liar.places[0]),)


async def found(node: Node, key: Multihash = KEY) -> list[Contact]:
    told: list[Contact] = []
    await node.dht.find(key, told.append)
    return told


async def talk_to(node: Node, server: Node) -> INetStream:
    await node.host.connect(server.host.addresses[0], 10)
    return await node.host.raw.new_stream(library_id(server.host.peer_id), [PUBLIC])


async def exchange(stream: INetStream, question: Message) -> Message | None:
    """None: the stream was reset."""
    try:
        await write_frame(stream, question.SerializeToString())
        answer = await FrameReader(stream).next()
    except (StreamGone, *GONE):
        return None
    return read_message(answer) if answer is not None else None


async def ends(stream: INetStream) -> bool:
    with trio.fail_after(20), suppress(EOFError, *GONE):
        while await stream.read(100):
            pass
    return True


async def test_what_one_provides_another_finds_through_a_third() -> None:
    async with open_dht(serves=True) as third, open_dht() as giver, open_dht() as seeker:
        await meet(giver, third)
        await meet(seeker, third)
        assert await found(seeker) == []
        assert await giver.dht.provide(KEY) == 1
        assert await found(seeker) == [giver.contact]
        async with seeker.dht.visit(giver.contact):
            assert seeker.host.is_connected(giver.host.peer_id)


async def test_a_provider_that_came_without_addresses_is_asked_for() -> None:
    async with open_dht(serves=True) as third, open_dht(serves=True) as giver, open_dht() as seeker:
        await meet(giver, third)
        await meet(third, giver)
        await meet(seeker, third)
        async with seeker.dht.visit(Contact(giver.host.peer_id)):
            assert seeker.host.is_connected(giver.host.peer_id)


async def test_a_server_says_so_itself_until_it_provides_no_more() -> None:
    async with open_dht(serves=True) as giver, open_dht() as seeker:
        await meet(seeker, giver)
        await giver.dht.provide(KEY)
        assert await found(seeker) == [giver.contact]
        giver.dht.provide_no_more(KEY)
        assert await found(seeker) == []


async def test_a_client_answers_nobody() -> None:
    async with open_dht() as client, open_dht() as stranger:
        await stranger.host.connect(client.host.addresses[0], 10)
        with pytest.raises(GONE):
            await stranger.host.raw.new_stream(library_id(client.host.peer_id), [PUBLIC])


async def test_values_are_refused_and_asked_for_in_vain() -> None:
    async with open_dht(serves=True) as server, open_dht() as stranger:
        record = Record(key=b"/pk/x", value=b"v")
        put = Message(type=Message.PUT_VALUE, key=record.key, record=record)
        assert await exchange(await talk_to(stranger, server), put) is None
        get = Message(type=Message.GET_VALUE, key=record.key)
        answer = await exchange(await talk_to(stranger, server), get)
        assert answer is not None
        assert not answer.HasField("record")


async def test_nobody_speaks_for_others() -> None:
    async with open_dht(serves=True) as server, open_dht() as liar, open_dht() as victim:
        stream = await talk_to(liar, server)
        news = Message(type=Message.ADD_PROVIDER, key=KEY)
        write_contact(news.providerPeers.add(), victim.contact, connected=True)
        write_contact(news.providerPeers.add(), liar.contact, connected=True)
        await write_frame(stream, news.SerializeToString())
        answer = await exchange(stream, Message(type=Message.GET_PROVIDERS, key=KEY))
        assert answer is not None
        assert read_contacts(answer.providerPeers) == [liar.contact]


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length without end
        b"\xff\xff\x7f",  # two mebibytes to come
        b"\x05\xff\xff\xff\xff\xff",  # no protobuf
        b"\x02\x08\x63",  # a type that there is not
        b"\x02\x08\x04",  # FIND_NODE without a key
    ],
)
async def test_nonsense_ends_its_stream_and_nothing_else(frame: bytes) -> None:
    async with open_dht(serves=True) as server, open_dht() as stranger:
        stream = await talk_to(stranger, server)
        await stream.write(frame)
        assert await ends(stream)
        assert await exchange(await talk_to(stranger, server), Message(type=Message.PING)) is not None
        assert server.dht.server is not None
        assert server.dht.server.refused.total() == 1


async def test_silent_streams_keep_nobody_out() -> None:
    async with open_dht(serves=True) as server, open_dht() as silent, open_dht() as honest:
        for _ in range(server_module.MOST_STREAMS_OF_ONE * 2):
            with suppress(*GONE):
                await talk_to(silent, server)
        assert await exchange(await talk_to(honest, server), Message(type=Message.PING)) is not None
        assert server.dht.server is not None
        assert server.dht.server._streams[silent.host.peer_id] <= server_module.MOST_STREAMS_OF_ONE


async def test_when_all_streams_are_taken_the_one_longest_silent_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MOST_STREAMS", 2)
    async with open_dht(serves=True) as server, open_dht() as silent, open_dht() as busy, open_dht() as late:
        kept = await talk_to(busy, server)
        assert await exchange(kept, Message(type=Message.PING)) is not None
        unheard = await talk_to(silent, server)
        assert await exchange(kept, Message(type=Message.PING)) is not None
        assert await exchange(await talk_to(late, server), Message(type=Message.PING)) is not None
        assert await ends(unheard)
        assert await exchange(kept, Message(type=Message.PING)) is not None


async def test_who_asks_too_much_is_reset_and_others_are_answered() -> None:
    async with open_dht(serves=True) as server, open_dht() as eager, open_dht() as honest:
        stream, answered = await talk_to(eager, server), 0
        while await exchange(stream, Message(type=Message.PING)) is not None:
            answered += 1
        assert answered >= server_module.QUESTIONS_PER_SECOND * 10
        assert await exchange(await talk_to(honest, server), Message(type=Message.PING)) is not None


async def test_a_million_records_of_one_peer_are_a_thousand() -> None:
    async with open_dht(serves=True) as server:
        assert server.dht.server is not None
        flooder = Contact(server.host.peer_id, ("/ip4/192.0.2.1/tcp/1",))
        news = Message(type=Message.ADD_PROVIDER, key=b"k")
        write_contact(news.providerPeers.add(), flooder, connected=True)
        for number in range(5_000):
            news.key = b"%d" % number
            assert server.dht.server.answer(flooder.peer, news, 0.0) is None
        assert len(server.dht.server.records) == MOST_OF_ONE


async def test_private_addresses_are_not_dialled_from_the_open_internet() -> None:
    """Contacts that strangers name shall not make us dial into our own network."""
    public = HostConfig(new_key(), (TCP,), announce=("/ip4/8.8.8.8/tcp/4001",))
    async with open_dht() as private, open_dht(config=public) as node:
        with pytest.raises(CannotConnect):
            async with node.dht.visit(private.contact):
                pass
        assert node.dht._talk.protocols == [PUBLIC]


async def test_nobody_is_dialled_once_half_of_the_connections_are_in_use() -> None:
    small = HostConfig(new_key(), (TCP,), max_connections=2, kept_for_dialling=1)
    async with (
        open_dht() as first,
        open_dht() as second,
        open_dht(config=small) as node,
        node.dht.visit(first.contact),
    ):
        with pytest.raises(CannotConnect):
            async with node.dht.visit(second.contact):
                pass


async def test_who_was_dialled_for_a_question_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_module, "LINGER_SECONDS", 0.0)
    async with open_dht(serves=True) as server, open_dht() as node, open_dht(serves=True) as friend:
        await node.host.connect(friend.host.addresses[0], 10)
        async with node.dht.visit(server.contact):
            assert node.dht._talk.idle() == []
        async with node.dht.visit(friend.contact):
            pass
        with trio.fail_after(20):
            while not (idle := node.dht._talk.idle()):  # identify may still be at work
                node.dht._talk._dialled[server.host.peer_id] = 0.0
                await trio.sleep(0.05)
        assert idle == [server.host.peer_id]


async def test_who_does_not_answer_is_forgotten() -> None:
    async with open_dht() as node:
        async with open_dht(serves=True) as server:
            await meet(node, server)
            assert len(node.dht.table) == 1
        assert await node.dht.provide(KEY) == 0
        assert len(node.dht.table) == 0
