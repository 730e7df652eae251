"""The answers to wants: one task for each peer that waits for one, on a stream of our own.

The stream that brought the wantlist is of no use: Helia has closed its side of it. A ledger outlives streams and, for a
while, connections: an answer that could not be sent is sent when the peer is back, and a want that we can't meet is met
when the block comes.

Rules: HAVE is answered with the block itself when that is at most SMALL bytes; DONT_HAVE is sent at once to peers that
asked for it. A message carries about BATCH bytes, and is sent piece by piece; the peer must take each piece within
frames.WRITE_SECONDS. At most SENDERS messages are being made or sent, SLOW more to peers that read slowly, and STALLED
to peers that took nothing of their last one (places.py): slow peers cost bounded memory, and no quick peer its turn.
Ledgers of absent peers are kept KEPT_SECONDS, MOST_LEDGERS at most.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
import trio

from pinning_worker.adapters.p2p.bitswap.peer_wants import Ledger, LeftOut
from pinning_worker.adapters.p2p.bitswap.places import PIECE, NoPlace, Place, Places, Speed
from pinning_worker.adapters.p2p.bitswap.wire import Block, Message, Presence, Want, WantType, encode, prefix_of
from pinning_worker.adapters.p2p.frames import ByteStream, StreamGone, close_quietly, write_frame
from pinning_worker.domain.content.cid import cid_from_bytes
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.world import Trouble

SMALL = 1024
BATCH = 1024 * 1024
LARGEST_BLOCK = 4 * 1024 * 1024 - 64 * 1024  # fits a message that Helia and Kubo still read
MOST_ANSWERS = 512
SENDERS = 24
SLOW = 12
STALLED = 4
QUIET_SECONDS = 1.0  # Helia resets a stream that is silent for ten seconds, and waits for it when it closes
TRIES = 3
PAUSE_SECONDS = 0.5
KEPT_SECONDS = 300.0
MOST_LEDGERS = 1024

log = structlog.get_logger(__name__)


class BlockSource(Protocol):
    """The blocks that are served: bytes by multihash; None: not here, or not for others."""

    async def get(self, multihash: Multihash) -> bytes | None: ...

    async def size(self, multihash: Multihash) -> int | None: ...


class _Client:
    """One peer that wants something, or did."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.news = trio.Event()
        self.serving: trio.CancelScope | None = None
        self.left_at: float | None = None
        self.stream: ByteStream | None = None
        self.speed = Speed.QUICK

    def judge(self, speed: Speed) -> None:
        self.speed = speed


class Server:
    """`open_stream` opens one to a connected peer, or raises StreamGone. `start` starts a task."""

    def __init__(
        self,
        source: BlockSource,
        open_stream: Callable[[PeerId], Awaitable[ByteStream]],
        start: Callable[[Callable[[], Awaitable[None]]], None],
        serves: Callable[[Multihash], bool] = lambda multihash: True,
    ) -> None:
        self.blocks_sent = 0
        self.bytes_sent = 0
        self._source = source
        self._open_stream = open_stream
        self._start = start
        self._serves = serves
        self._clients: OrderedDict[PeerId, _Client] = OrderedDict()
        self._places = Places(SENDERS, SLOW, STALLED)

    def receive(self, peer: PeerId, message: Message) -> LeftOut:
        """Takes in a message's wantlist."""
        client = self._clients.setdefault(peer, _Client())
        self._clients.move_to_end(peer)
        client.left_at = None
        left_out = client.ledger.receive(message)
        self._wake(peer, client)
        self._forget_some()
        return left_out

    def stored(self, multihash: Multihash) -> None:
        """A block came in: every peer that waits for it gets it."""
        for peer, client in self._clients.items():
            if client.ledger.stored(multihash):
                self._wake(peer, client)

    def waiting(self) -> list[PeerId]:
        """The peers that wait for blocks that we do not have."""
        return [peer for peer, client in self._clients.items() if client.ledger.unmet]

    def connected(self, peer: PeerId) -> None:
        """The peer may be back: send what it still waits for."""
        if client := self._clients.get(peer):
            client.left_at = None
            self._wake(peer, client)

    def disconnected(self, peer: PeerId) -> None:
        if client := self._clients.get(peer):
            client.left_at = trio.current_time()
            if client.serving is not None:
                client.serving.cancel()

    def forget(self, peer: PeerId) -> None:
        """Ends serving the peer (it is banned)."""
        client = self._clients.pop(peer, None)
        if client is not None and client.serving is not None:
            client.serving.cancel()

    def sweep(self) -> None:
        """Forgets peers that have been away for long, or wait for nothing. To be called now and then."""
        now = trio.current_time()
        for peer, client in list(self._clients.items()):
            away = client.left_at is not None and now - client.left_at > KEPT_SECONDS
            if away or (not client.ledger and client.serving is None):
                del self._clients[peer]

    def _forget_some(self) -> None:
        while len(self._clients) > MOST_LEDGERS:
            absent = (peer for peer, client in self._clients.items() if client.left_at is not None)
            self.forget(next(absent, next(iter(self._clients))))

    def _wake(self, peer: PeerId, client: _Client) -> None:
        if not client.ledger.todo or client.left_at is not None:
            return
        client.news.set()
        if client.serving is None:
            client.serving = trio.CancelScope()
            self._start(lambda: self._serve(peer, client))

    async def _serve(self, peer: PeerId, client: _Client) -> None:
        assert client.serving is not None
        failures = 0
        with client.serving:
            while client.ledger.todo and failures < TRIES:
                try:
                    await self._answer_all(peer, client)
                    failures = 0
                except NoPlace:
                    await trio.sleep(PAUSE_SECONDS)
                except StreamGone as error:
                    failures += 1
                    log.debug("bitswap.answer_lost", peer=str(peer), error=str(error), failures=failures)
                    await trio.sleep(PAUSE_SECONDS)
        client.serving = None
        if failures < TRIES and self._clients.get(peer) is client:
            self._wake(peer, client)  # it came back while this task was ending

    async def _answer_all(self, peer: PeerId, client: _Client) -> None:
        """Answers everything todo on one stream, and whatever becomes todo in a quiet while after."""
        broken = True
        try:
            while client.ledger.todo:
                async with self._places.one(client.speed, client.judge) as place:
                    await self._answer_some(peer, client, place)
                await self._wait_for_more(client)
            broken = False
        finally:
            stream, client.stream = client.stream, None
            if stream is not None:
                await close_quietly(stream, reset=broken)

    async def _wait_for_more(self, client: _Client) -> None:
        if not client.ledger.todo:
            client.news = trio.Event()
            with trio.move_on_after(QUIET_SECONDS):
                await client.news.wait()

    async def _answer_some(self, peer: PeerId, client: _Client, place: Place) -> None:
        """Sends one message. If it is not sent whole, its wants go back to the ledger."""
        taken: list[Want] = []
        sent = False
        try:
            message = await self._make(client.ledger, taken)
            if message:
                client.stream = client.stream or await self._open_stream(peer)
                counts = len(message.blocks), sum(len(block.data) for block in message.blocks)
                data = encode(message)
                del message  # while it is sent, one copy of its blocks is here
                await write_frame(client.stream, data, PIECE, place.took)
                self.blocks_sent += counts[0]
                self.bytes_sent += counts[1]
            sent = True
        finally:
            if sent:
                client.ledger.answered(taken)
            else:
                client.ledger.put_back(taken)

    async def _make(self, ledger: Ledger, taken: list[Want]) -> Message:
        message, size = Message(), 0
        while size < BATCH and len(taken) < MOST_ANSWERS and (want := ledger.next()):
            taken.append(want)
            answer = await self._look_for(want)
            if isinstance(answer, Block):
                if size and size + len(answer.data) > LARGEST_BLOCK:
                    ledger.put_back([taken.pop()])
                    break
                message.blocks.append(answer)
                size += len(answer.data)
            elif answer.have or (ledger.not_here(want) and want.send_dont_have):
                message.presences.append(answer)
        return message

    async def _look_for(self, want: Want) -> Block | Presence:
        multihash = cid_from_bytes(want.cid).multihash
        if not self._serves(multihash):
            return Presence(want.cid, have=False)
        try:
            if want.kind is WantType.HAVE:
                size = await self._source.size(multihash)
                if size is None or size > SMALL:
                    return Presence(want.cid, size is not None)
            data = await self._source.get(multihash)
        except (Trouble, OSError) as error:
            log.warning("block.unreadable", multihash=multihash.hex(), error=str(error))
            data = None
        if data is None or len(data) > LARGEST_BLOCK:
            return Presence(want.cid, have=False)
        return Block(prefix_of(want.cid), data)
