"""A question to one peer of the DHT, and the way there.

Strangers name the peers that we ask. So a peer that we are not connected with is dialled only at addresses that are
worth dialling, at most DIALS of them, and never once half of our connections are in use; a peer that was dialled for a
question and is used for nothing else is disconnected when we have asked it nothing for LINGER_SECONDS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import trio
from libp2p.custom_types import TProtocol
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.addresses import all_private, is_circuit, worth_dialling
from pinning_worker.adapters.p2p.dht.contacts import BadMessage, Contact, read_message
from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.frames import (
    GONE,
    BadFrame,
    FrameReader,
    StreamGone,
    close_quietly,
    write_frame,
)
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.peer_ids import library_id
from pinning_worker.domain.identities import PeerId

PUBLIC, PRIVATE = TProtocol("/ipfs/kad/1.0.0"), TProtocol("/ipfs/lan/kad/1.0.0")
LARGEST_ANSWER = 256 * 1024
ANSWER_SECONDS = 10.0
DIAL_SECONDS = 5.0
DIALS = 2
LINGER_SECONDS = 60.0
HANG_UP_SECONDS = 5.0


class NoAnswer(Exception):
    """The peer was not reached, stayed silent, or sent nonsense."""


class Talk:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._dialled: dict[PeerId, float] = {}  # when each was last visited
        self._visits: Counter[PeerId] = Counter()

    @property
    def protocols(self) -> list[TProtocol]:
        return [PRIVATE, PUBLIC] if all_private(self._host.addresses) else [PUBLIC]

    async def ask(self, contact: Contact, question: Message) -> Message:
        """Raises NoAnswer."""
        answer = await self._say(contact, question, answered=True)
        assert answer is not None
        return answer

    async def tell(self, contact: Contact, news: Message) -> None:
        """Sends a message that gets no answer. Raises NoAnswer."""
        await self._say(contact, news, answered=False)

    @asynccontextmanager
    async def visit(self, contact: Contact) -> AsyncGenerator[None, None]:
        """Stays connected while the block runs, as far as it lies with us. Raises CannotConnect."""
        await self._reach(contact)
        self._visits[contact.peer] += 1
        try:
            yield
        finally:
            self._visits[contact.peer] -= 1
            self._visits += Counter()  # forgets the zeros
            if contact.peer in self._dialled:
                self._dialled[contact.peer] = trio.current_time()

    def idle(self) -> list[PeerId]:
        """The peers to disconnect now; the call forgets them."""
        long_ago = trio.current_time() - LINGER_SECONDS
        found = [peer for peer, at in self._dialled.items() if at < long_ago and peer not in self._visits]
        for peer in found:
            del self._dialled[peer]
        return [peer for peer in found if not self._is_used(peer)]

    async def hang_up(self, peer: PeerId) -> None:
        with trio.move_on_after(HANG_UP_SECONDS), suppress(*GONE):
            await self._host.disconnect(peer)

    async def _say(self, contact: Contact, message: Message, *, answered: bool) -> Message | None:
        try:
            with trio.fail_after(ANSWER_SECONDS + DIALS * DIAL_SECONDS):
                async with self.visit(contact):
                    return await self._exchange(library_id(contact.peer), message, answered=answered)
        except (*GONE, CannotConnect, trio.TooSlowError, StreamGone, BadFrame, BadMessage) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error

    async def _exchange(self, peer: ID, message: Message, *, answered: bool) -> Message | None:
        stream, done = await self._host.raw.new_stream(peer, self.protocols), False
        try:
            await write_frame(stream, message.SerializeToString())
            if not answered:
                done = True
                return None
            answer = await FrameReader(stream, lambda: LARGEST_ANSWER).next()
            if answer is None:
                raise NoAnswer("the stream ended without an answer")
            done = True
            return read_message(answer)
        finally:
            await close_quietly(stream, reset=not done)

    async def _reach(self, contact: Contact) -> None:
        """Raises CannotConnect."""
        host = self._host
        if host.is_connected(contact.peer):
            return
        if host.half_full:
            raise CannotConnect("no room to dial anybody")
        ours = host.addresses
        for address in [text for text in contact.addresses if _may_dial(text, ours)][:DIALS]:
            with suppress(CannotConnect, BadAddress):
                await host.connect_on_hearsay(f"{address}/p2p/{contact.peer}", DIAL_SECONDS)
                self._dialled[contact.peer] = trio.current_time()
                return
        raise CannotConnect(f"{contact.peer} is at no address that may be dialled, or does not answer there")

    def _is_used(self, peer: PeerId) -> bool:
        connections = self._host.swarm.get_connections(library_id(peer))
        return peer in self._host.direct or any(connection.get_streams() for connection in connections)


def _may_dial(address: str, ours: list[str]) -> bool:
    return worth_dialling(address, ours) and not is_circuit(address)  # a question is not worth a circuit
