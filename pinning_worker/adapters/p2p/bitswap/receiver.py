"""Incoming messages: from streams to messages, from messages to sessions and to the server, and points for faults.

Rules: a block is hashed before anybody gets it, and not even hashed when no session waits for it. A block that we did
not ask for is dropped and counted against the sender. A peer that we asked for nothing may send wantlists only: small
messages, few streams. A peer that we asked for a block larger than a message may be, and that sends it, has done no
more than we asked. At worst, a message costs its sender the stream and, at the ban, the connection. The ban acts at
once: the rest of a message with thousands of faults is not read, for each of them is a line in the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog
import trio
from libp2p.abc import INetStream

from pinning_worker.adapters.p2p.bitswap.conduct import Conduct, Fault
from pinning_worker.adapters.p2p.bitswap.peer_wants import MOST_WANTS
from pinning_worker.adapters.p2p.bitswap.server import Server
from pinning_worker.adapters.p2p.bitswap.wants import Wants
from pinning_worker.adapters.p2p.bitswap.wire import BadMessage, Block, ManyFields, Message, Presence, decode
from pinning_worker.adapters.p2p.frames import (
    AT_ONCE,
    LARGE_FRAME,
    LARGEST_FRAME,
    BadFrame,
    FrameReader,
    FrameTooLarge,
    StreamGone,
    close_quietly,
)
from pinning_worker.adapters.p2p.peer_ids import remote_peer
from pinning_worker.domain.content.cid import BadCid, cid_from_bytes
from pinning_worker.domain.content.multihash import sha2_256
from pinning_worker.domain.identities import PeerId

WANTLIST_FRAME = LARGE_FRAME  # the largest message of a peer that we asked for nothing
FEW_FIELDS = 512  # a message of more is parsed beside the event loop: thousands of entries take 50 ms; blocks are few
PARSERS = 1  # at a time: each more takes the interpreter from the event loop as often as it has it
AT_A_TIME = 64  # wants, or presences: a millisecond
MOST_STREAMS = 64  # open at a time from one peer; Helia opens one for each message

log = structlog.get_logger(__name__)


class Receiver:
    """`on_stream` is the host's handler. `ban` is called once for a peer that went too far."""

    def __init__(
        self,
        wants: Wants,
        server: Server,
        conduct: Conduct,
        ban: Callable[[PeerId], None],
        address_of: Callable[[PeerId], str] = lambda _peer: "",
    ) -> None:
        self.duplicates = 0
        self.odd = 0  # entries that were left out
        self._wants = wants
        self._server = server
        self._conduct = conduct
        self._ban = ban
        self._address_of = address_of
        self._streams: Counter[PeerId] = Counter()
        self._parsers = trio.CapacityLimiter(PARSERS)
        self._turns: dict[PeerId, trio.Semaphore] = {}  # of peers that have streams

    async def on_stream(self, stream: INetStream) -> None:
        """Reads the stream to its end. Raises nothing."""
        peer = remote_peer(stream)
        if self._streams[peer] >= MOST_STREAMS or self._is_banned(peer):
            await close_quietly(stream, reset=True)
            return
        self._streams[peer] += 1
        turns = self._turns.setdefault(peer, trio.Semaphore(AT_ONCE))
        broken = True
        try:
            received, address = partial(self._wants.received_from, peer), self._address_of(peer)
            frames = FrameReader(stream, lambda: self._largest(peer), turns, received=received, address=address)
            await self._listen(peer, frames)
            broken = False
        except FrameTooLarge as error:
            fault = Fault.FLOOD if self._wants.offered_too_large(peer, error.length) else Fault.BAD_MESSAGE
            self._blame(peer, fault, str(error))
        except (BadFrame, BadMessage) as error:
            self._blame(peer, Fault.BAD_MESSAGE, str(error))
        except StreamGone as error:
            log.debug("bitswap.stream_ended", peer=peer, error=str(error))
        finally:
            self._streams[peer] -= 1
            self._streams += Counter()  # forgets the zeros
            if not self._streams[peer]:
                self._turns.pop(peer, None)
            await close_quietly(stream, reset=broken)

    async def _listen(self, peer: PeerId, frames: FrameReader) -> None:
        while (frame := await frames.next()) is not None:
            message = await self._decoded(frame)
            if not message:
                self._blame(peer, Fault.FLOOD, "a message that says nothing")
            for block in message.blocks:
                await self._receive(peer, block)
                await trio.lowlevel.checkpoint()
                if self._is_banned(peer):
                    return
            for number, presence in enumerate(message.presences, 1):
                self._note(peer, presence)
                if number % AT_A_TIME == 0:
                    await trio.lowlevel.checkpoint()
                if self._is_banned(peer):
                    return
            self.odd += message.odd
            if message.wants or message.full:
                await self._handle(peer, message)
            if self._is_banned(peer):
                return

    async def _decoded(self, frame: memoryview) -> Message:
        """A message with blocks does not wait behind the messages of wants that wait to be parsed."""
        with suppress(ManyFields):
            return decode(frame, FEW_FIELDS)
        return await trio.to_thread.run_sync(decode, frame, limiter=self._parsers)

    async def _handle(self, peer: PeerId, message: Message) -> None:
        """A wantlist, in pieces: all other tasks have a turn between two of them."""
        wants, over, idle = message.wants, 0, 0
        for at in range(0, max(1, len(wants)), AT_A_TIME):
            piece = Message(wants=wants[at : at + AT_A_TIME], full=message.full and at == 0)
            left_out = self._server.receive(peer, piece)
            self.odd += left_out.odd
            over, idle = over + left_out.over, idle + left_out.idle
            await trio.lowlevel.checkpoint()
        if over:
            self._blame(peer, Fault.FLOOD, f"{over} wants too many")
        if idle > MOST_WANTS:  # no honest peer takes back more than it may have wanted
            self._blame(peer, Fault.FLOOD, f"{idle} wants taken back that were none")

    def _is_banned(self, peer: PeerId) -> bool:
        return self._conduct.banned(peer, trio.current_time())

    def _largest(self, peer: PeerId) -> int:
        return LARGEST_FRAME if self._wants.asked_lately(peer) else WANTLIST_FRAME

    async def _receive(self, peer: PeerId, block: Block) -> None:
        if self._wants.idle:
            return self._blame(peer, Fault.UNASKED_BLOCK, "a block that nobody asked for")
        multihash = sha2_256(block.data)
        self._wants.receive(peer, multihash)
        if sessions := self._wants.waiting_for(multihash):
            data = bytes(block.data)
            for session in sessions:
                session.coming(multihash)
            for session in sessions:
                await session.deliver(peer, multihash, data)
        elif self._wants.was_wanted(multihash) and self._wants.asked_lately(peer):
            self.duplicates += 1
        else:
            self._blame(peer, Fault.UNASKED_BLOCK, "a block that nobody asked for")
        return None

    def _note(self, peer: PeerId, presence: Presence) -> None:
        try:
            multihash = cid_from_bytes(presence.cid).multihash
        except BadCid:
            return self._blame(peer, Fault.BAD_MESSAGE, "a presence without a CID")
        for session in self._wants.waiting_for(multihash):
            session.answered(peer, multihash, have=presence.have)
        return None

    def _blame(self, peer: PeerId, fault: Fault, what: str) -> None:
        banned = self._conduct.blame(peer, fault, trio.current_time())
        log.info("bitswap.fault", peer=peer, fault=fault.name, what=what, banned=banned)
        if banned:
            self._ban(peer)
