"""The answers of a DHT server: the peers closer to a key, and its providers.

Values (IPNS and public keys) are not kept: PUT_VALUE is refused, GET_VALUE gets only closer peers. The cost of one peer
is bounded: so many streams, and questions a second; a peer that exceeds it, or sends nonsense, has its stream reset.
Peers keep their streams for the next question: when the server has no stream left, the one longest silent makes room.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.kad_dht.pb.kademlia_pb2 import Message

from pinning_worker.adapters.p2p.bounds.bucket import Bucket
from pinning_worker.adapters.p2p.dht.contacts import BadMessage, Contact, read_contacts, read_message, write_contact
from pinning_worker.adapters.p2p.dht.records import Records
from pinning_worker.adapters.p2p.frames import BadFrame, FrameReader, StreamGone, close_quietly, write_frame
from pinning_worker.adapters.p2p.peer_ids import remote_peer
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId

LARGEST_QUESTION = 16 * 1024
MOST_STREAMS = 256
MOST_STREAMS_OF_ONE = 8
QUESTIONS_PER_SECOND = 20.0  # of one peer; ten seconds' worth may come at once
QUESTIONS_OF_ALL = 200.0
MOST_REMEMBERED = 1_000

_log = structlog.get_logger(__name__)


class Refused(BadMessage):
    """A question that gets no answer."""


class Server:
    """`closest(key)`: the peers to name in an answer; `ours(key)`: ourselves if we provide that key."""

    def __init__(
        self,
        closest: Callable[[bytes], Sequence[Contact]],
        ours: Callable[[Multihash], Sequence[Contact]],
        is_connected: Callable[[PeerId], bool],
    ) -> None:
        self.records = Records()
        self.refused: Counter[str] = Counter()
        self._closest = closest
        self._ours = ours
        self._is_connected = is_connected
        self._streams: Counter[PeerId] = Counter()
        self._silent: OrderedDict[trio.CancelScope, None] = OrderedDict()  # the longest silent first
        self._of_one: OrderedDict[PeerId, Bucket] = OrderedDict()
        self._of_all = Bucket.full(QUESTIONS_OF_ALL, 0.0)

    async def on_stream(self, stream: INetStream) -> None:
        peer = remote_peer(stream)
        if self._streams[peer] >= MOST_STREAMS_OF_ONE:
            self.refused["streams"] += 1
            return await close_quietly(stream, reset=True)
        if len(self._silent) >= MOST_STREAMS:
            next(iter(self._silent)).cancel()
        self._streams[peer] += 1
        scope, whole = trio.CancelScope(), False
        self._silent[scope] = None
        try:
            with scope:
                await self._converse(peer, stream, scope)
                whole = True
        except (StreamGone, BadFrame, BadMessage) as error:
            self.refused[type(error).__name__] += 1
            _log.debug("dht.stream_ended", peer=peer, reason=str(error))
        finally:
            del self._silent[scope]
            self._streams[peer] -= 1
            self._streams += Counter()  # forgets the zeros
            await close_quietly(stream, reset=not whole)

    async def _converse(self, peer: PeerId, stream: INetStream, scope: trio.CancelScope) -> None:
        questions = FrameReader(stream, lambda: LARGEST_QUESTION)
        while (question := await questions.next()) is not None:
            self._silent.move_to_end(scope)
            now = trio.current_time()
            if not self._may_ask(peer, now):
                raise Refused("too many questions")
            answer = self.answer(peer, read_message(question), now)
            if answer is not None:
                await write_frame(stream, answer.SerializeToString())

    def answer(self, peer: PeerId, question: Message, now: float) -> Message | None:
        """None: the message needs no answer. Raises Refused."""
        answer = Message(type=question.type, key=question.key)
        match question.type:
            case Message.PING:
                return answer
            case Message.FIND_NODE | Message.GET_VALUE | Message.GET_PROVIDERS if question.key:
                if question.type == Message.GET_PROVIDERS:
                    key = Multihash(question.key)
                    for provider in [*self._ours(key), *self.records.of(key, now)]:
                        self._write(answer.providerPeers.add(), provider)
                for contact in self._closest(question.key):
                    if contact.peer != peer:
                        self._write(answer.closerPeers.add(), contact)
                return answer
            case Message.ADD_PROVIDER if question.key:
                self._take_record(peer, question, now)
                return None
        raise Refused(f"a message of type {question.type}")

    def _take_record(self, peer: PeerId, said: Message, now: float) -> None:
        for provider in read_contacts(said.providerPeers):
            if provider.peer == peer and provider.addresses:  # no peer may announce another
                self.records.add(Multihash(said.key), provider, now)

    def _write(self, into: Message.Peer, contact: Contact) -> None:
        write_contact(into, contact, connected=self._is_connected(contact.peer))

    def _may_ask(self, peer: PeerId, now: float) -> bool:
        own = self._of_one.setdefault(peer, Bucket.full(QUESTIONS_PER_SECOND, 0.0))
        self._of_one.move_to_end(peer)
        if len(self._of_one) > MOST_REMEMBERED:
            self._of_one.popitem(last=False)
        if not (own.holds(1, now) and self._of_all.holds(1, now)):
            return False
        own.left -= 1
        self._of_all.left -= 1
        return True
