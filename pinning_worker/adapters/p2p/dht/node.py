"""A node of the DHT: finds providers, announces our blocks, keeps its table alive; as a server it answers.

    dht = Dht(host, serves=False)
    nursery.start_soon(dht.run)
    await dht.find(multihash, lambda contact: …)
    await dht.provide(multihash)

It knows the connected peers that speak the protocol (bootstrap peers, inbound ones), and peers that answered before. No
peer's name and no peer's address stands in this code.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.peerstore import PeerStoreError

from pinning_worker.adapters.p2p.dht.contacts import (
    CLOSEST,
    MOST_ADDRESSES,
    Contact,
    binary_id,
    read_contacts,
    write_contact,
)
from pinning_worker.adapters.p2p.dht.server import Server
from pinning_worker.adapters.p2p.dht.table import Table
from pinning_worker.adapters.p2p.dht.talk import PRIVATE, PUBLIC, NoAnswer, Talk
from pinning_worker.adapters.p2p.dht.walk import walk
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.peer_ids import library_id, remote_peer
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.ungroup import one_error

QUESTIONS_AT_ONCE = 4
REFRESH_SECONDS = 600.0
SWEEP_SECONDS = 30.0
NOTICE_SECONDS = 0.5
TELLING = 5  # peers that get a provider record at the same time

_log = structlog.get_logger(__name__)


class Dht:
    def __init__(self, host: Host, *, serves: bool) -> None:
        self.provided: set[Multihash] = set()
        self._host = host
        self._talk = Talk(host)
        self._noticed_at = -NOTICE_SECONDS
        self.table = Table(Contact(host.peer_id))
        self.server = Server(self._closest, self._ours, host.is_connected) if serves else None
        self._questions = trio.Semaphore(QUESTIONS_AT_ONCE)

    async def _on_stream(self, server: Server, stream: INetStream) -> None:
        self._host.note_use(remote_peer(stream))
        await server.on_stream(stream)

    async def run(self) -> None:
        """Runs until cancelled. A server answers while this runs; finding and providing need it for disconnecting."""
        if self.server is not None:
            for protocol in (PUBLIC, PRIVATE):
                self._host.raw.set_stream_handler(protocol, partial(self._on_stream, self.server))
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._refresh)
                    while True:
                        await trio.sleep(SWEEP_SECONDS)
                        for peer in self._talk.idle():
                            nursery.start_soon(self._talk.hang_up, peer)
        finally:
            if self.server is not None:
                for protocol in (PUBLIC, PRIVATE):
                    self._host.raw.remove_stream_handler(protocol)

    async def find(self, key: Multihash, tell: Callable[[Contact], None]) -> None:
        """Calls `tell` once for each provider of a multihash, as soon as it is found. Returns when the walk ends."""
        told: set[PeerId] = {self._host.peer_id}

        def tell_once(contact: Contact) -> None:
            if contact.peer not in told:
                told.add(contact.peer)
                tell(contact)

        if self.server is not None:
            for contact in self.server.records.of(key, trio.current_time()):
                tell_once(contact)

        async def ask(contact: Contact) -> list[Contact] | None:
            answer = await self._ask(contact, Message(type=Message.GET_PROVIDERS, key=key))
            for provider in read_contacts(answer.providerPeers) if answer is not None else ():
                tell_once(provider)
            return read_contacts(answer.closerPeers) if answer is not None else None

        async with self._questions:
            await walk(key, self._closest(key), ask)

    @asynccontextmanager
    async def visit(self, contact: Contact) -> AsyncGenerator[None, None]:
        """Stays connected while the block runs, as far as it lies with us. Raises CannotConnect."""
        if not contact.addresses and not self._host.is_connected(contact.peer):
            contact = await self._where(contact.peer)
        async with self._talk.visit(contact):
            yield

    async def provide(self, key: Multihash) -> int:
        """Announces to the peers closest to a multihash that we have it; returns how many it reached. From now on our
        own answers name us too."""
        self.provided.add(key)
        told = 0
        news = Message(type=Message.ADD_PROVIDER, key=key)
        for contact in self._ours(key):
            write_contact(news.providerPeers.add(), contact, connected=True)
        places = trio.Semaphore(TELLING)

        async def tell(contact: Contact) -> None:
            nonlocal told
            async with places:
                with suppress(NoAnswer):
                    await self._talk.tell(contact, news)
                    told += 1

        async with self._questions:
            closest = await self._closest_on_the_network(key)
            with one_error():
                async with trio.open_nursery() as nursery:
                    for contact in closest:
                        nursery.start_soon(tell, contact)
        _log.debug("dht.provided", key=key.hex(), told=told)
        return told

    def provide_no_more(self, key: Multihash) -> None:
        """Ends our answers for it; the records at other peers lapse within two days."""
        self.provided.discard(key)

    async def _refresh(self) -> None:
        """Walks to ourselves and to a random place now and then: peers that no longer answer leave the table, others
        enter.

        Identify results of connected peers lapse; without asking again, no peer that left the table would be noticed
        again.
        """
        while True:
            for peer in self._host.peers():
                self._host.refresh_identify(peer)
            for key in (binary_id(self._host.peer_id), secrets.token_bytes(32)):
                async with self._questions:
                    await self._closest_on_the_network(key)
            await trio.sleep(REFRESH_SECONDS)

    async def _closest_on_the_network(self, key: bytes) -> list[Contact]:
        async def ask(contact: Contact) -> list[Contact] | None:
            answer = await self._ask(contact, Message(type=Message.FIND_NODE, key=key))
            return read_contacts(answer.closerPeers) if answer is not None else None

        return await walk(key, self._closest(key), ask)

    async def _ask(self, contact: Contact, question: Message) -> Message | None:
        if contact.peer == self._host.peer_id:
            return None
        try:
            answer = await self._talk.ask(contact, question)
        except NoAnswer as error:
            _log.debug("dht.no_answer", peer=contact.peer, reason=str(error))
            self.table.remove(contact.peer)
            return None
        self.table.add(contact)
        return answer

    async def _where(self, peer: PeerId) -> Contact:
        """The peer with the addresses that others know of it: a provider record may have come without."""
        found = Contact(peer)
        key = binary_id(peer)

        async def ask(contact: Contact) -> list[Contact] | None:
            nonlocal found
            answer = await self._ask(contact, Message(type=Message.FIND_NODE, key=key))
            closer = read_contacts(answer.closerPeers) if answer is not None else []
            found = next((each for each in closer if each.peer == peer and each.addresses), found)
            return [each for each in closer if each.peer != peer] if answer is not None else None

        async with self._questions:
            await walk(key, self._closest(key), ask)
        return found

    def _closest(self, key: bytes) -> list[Contact]:
        now = trio.current_time()
        if now - self._noticed_at >= NOTICE_SECONDS:
            self._noticed_at = now
            for peer in self._host.peers():
                self._notice(peer)
        return self.table.closest(key, CLOSEST)

    def _notice(self, peer: PeerId) -> None:
        """Takes in a connected peer whose identify result names the protocol."""
        store, who = self._host.raw.get_peerstore(), library_id(peer)
        with suppress(PeerStoreError):
            if not {PUBLIC, PRIVATE}.isdisjoint(store.get_protocols(who)):
                where = [str(address).removesuffix(f"/p2p/{peer}") for address in store.addrs(who)]
                self.table.add(Contact(peer, tuple(where[:MOST_ADDRESSES])))

    def _ours(self, key: Multihash) -> list[Contact]:
        if key not in self.provided:
            return []
        return [Contact(self._host.peer_id, tuple(map(str, self._host.places[:MOST_ADDRESSES])))]
