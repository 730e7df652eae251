"""A relay that means ill: whoever asks it for a place gets one, and then it brings what is no peer. As an attack of
attacker.py; the worker asks because it wants to be reached through relays.

Some answer the request itself with what is no answer. Those that are believed, and one that gave nothing, open streams
of the stop protocol with frames that are wrong in every way, circuits in which garbage is spoken, and as many as they
can in which nothing more is ever said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import trio
from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.host.connections import direct_to
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.relay import wire as messages
from pinning_worker.adapters.p2p.relay.wire import (
    HOP,
    STOP,
    Gone,
    HopMessage,
    Limit,
    PeerId,
    Reservation,
    Status,
    StopMessage,
)
from tests.interop.malformed import GONE, NOISE, SILENT_SECONDS, frames

ASKED_SECONDS = 60.0
RELAYS_AT_ONCE = 4  # as many as the worker wants
STREAMS = 160  # of one relay; of all together so many that nobody else had a place
QUIET_SECONDS = 20.0  # twice what a handshake is given
FRAMES_AT_ONCE = 16
CHOSEN = b"\x13/multistream/1.0.0\n\x07/noise\n"
IN_A_CIRCUIT = (
    b"",
    NOISE(500),
    b"\xff" * 64,
    CHOSEN[:10],
    CHOSEN + b"\x00\x20" + NOISE(32),
    CHOSEN + b"\x00\x20" + NOISE(32) + b"\x00\x60" + NOISE(96),
    CHOSEN + b"\xff\xff" + NOISE(70_000),
    b"\x13/multistream/1.0.0\n\xff\xff\xff\xff\x7f" + NOISE(100),
)


def place(given: Reservation) -> HopMessage:
    return HopMessage(type=HopMessage.STATUS, status=Status.OK, reservation=given)


A_PLACE = place(Reservation(expire=2**64 - 1))
NO_PLACE = HopMessage(type=HopMessage.STATUS, status=Status.RESERVATION_REFUSED)
ODD_PLACES = (
    HopMessage(type=HopMessage.STATUS, status=Status.OK),
    place(Reservation(expire=0, addrs=[b"", NOISE(50)] * 20)),
    place(Reservation(expire=9, addrs=[b"\x04" * 9] * 300)),  # half an address
    place(Reservation(expire=9, voucher=NOISE(3_000))),
    HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=NOISE(99))),
    HopMessage(),
)
ODD_REQUESTS = (
    StopMessage(type=StopMessage.CONNECT),
    *(StopMessage(type=StopMessage.CONNECT, peer=PeerId(id=odd)) for odd in (b"", b"\x00", NOISE(40), NOISE(3_000))),
    StopMessage(type=StopMessage.CONNECT, peer=PeerId(id=b"\x12\x20" + bytes(32), addrs=[NOISE(9)] * 99)),
    StopMessage(type=StopMessage.CONNECT, limit=Limit(duration=2**32 - 1, data=2**64 - 1)),
    StopMessage(type=StopMessage.STATUS, status=Status.OK),
)

ENDED = (*GONE, Gone)
Bring = Callable[[Host], Awaitable[None]]
Throw = Callable[[Host, bytes], Awaitable[None]]


class HostileRelays:
    """Against one worker. `thrown`: what was brought by those that it believed; of that it `refused` some circuits, and
    `closed` others of those that were silent.
    """

    def __init__(self, worker: str) -> None:
        self.address = worker
        self.worker = ID.from_base58(worker.rpartition("/")[2])
        self.thrown = 0
        self.closed = 0
        self.refused = 0

    async def malformed(self) -> None:
        answers = [*frames("/hop"), *(framed(odd) for odd in ODD_PLACES)]
        await self._relays((answer, self._nothing) for answer in answers)
        await self._relays(
            [(framed(A_PLACE), self._frames), (framed(NO_PLACE), self._frames), (framed(A_PLACE), self._garbage)]
        )

    async def silent(self) -> None:
        await self._relays([(framed(A_PLACE), self._silence)] * RELAYS_AT_ONCE)

    async def _relays(self, each: Iterable[tuple[bytes, Bring]]) -> None:
        turn = trio.CapacityLimiter(RELAYS_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for answer, bring in each:
                nursery.start_soon(self._one, turn, answer, bring)

    async def _one(self, turn: trio.CapacityLimiter, answer: bytes, bring: Bring) -> None:
        """One relay, from its arrival at the worker until it has done its worst."""
        asked = trio.Event()

        async def give(stream: INetStream) -> None:
            with suppress(*ENDED):
                await messages.read_message(stream, HopMessage)
                await stream.write(answer)
            asked.set()

        async with turn, open_host(HostConfig(new_key(), ())) as host:
            host.raw.set_stream_handler(HOP, give)
            with suppress(*ENDED):
                await host.connect(self.address, 20)
                with trio.fail_after(ASKED_SECONDS):
                    await asked.wait()
                await bring(host)

    async def _nothing(self, _host: Host) -> None:
        await trio.sleep(SILENT_SECONDS)

    async def _frames(self, host: Host) -> None:
        await self._each(host, [*frames("/stop"), *(framed(request) for request in ODD_REQUESTS)], self._throw)

    async def _garbage(self, host: Host) -> None:
        await self._each(host, IN_A_CIRCUIT, self._speak)

    async def _silence(self, host: Host) -> None:
        """Every one is let in or refused, and then ended by the worker."""
        await self._each(host, [CHOSEN] * STREAMS, self._say_and_wait, STREAMS)

    async def _each(self, host: Host, pieces: Sequence[bytes], throw: Throw, at_once: int = FRAMES_AT_ONCE) -> None:
        turn = trio.CapacityLimiter(at_once)

        async def one(piece: bytes) -> None:
            async with turn:
                with suppress(*ENDED):
                    await throw(host, piece)

        async with trio.open_nursery() as nursery:
            for piece in pieces:
                nursery.start_soon(one, piece)

    async def _throw(self, host: Host, frame: bytes) -> None:
        async with self._stream(host) as stream:
            await stream.write(frame)
            self.thrown += 1
            with trio.move_on_after(SILENT_SECONDS):
                await stream.read(1)

    async def _speak(self, host: Host, garbage: bytes) -> None:
        async with self._circuit(host) as stream:
            await stream.write(garbage)
            with trio.move_on_after(SILENT_SECONDS):
                while await stream.read(1_000):
                    pass

    async def _say_and_wait(self, host: Host, hello: bytes) -> None:
        async with self._circuit(host) as stream:
            with trio.move_on_after(QUIET_SECONDS) as waiting, suppress(*ENDED, EOFError):
                await stream.write(hello)
                while await stream.read(1_000):
                    pass
            self.closed += not waiting.cancelled_caught

    @asynccontextmanager
    async def _circuit(self, host: Host) -> AsyncIterator[INetStream]:
        """From a made-up peer. Raises Gone: the worker wants none."""
        made_up = ID.from_base58(peer_id_of(new_key())).to_bytes()
        async with self._stream(host) as stream:
            await messages.write_message(stream, StopMessage(type=StopMessage.CONNECT, peer=PeerId(id=made_up)))
            answer = await messages.read_message(stream, StopMessage)
            self.thrown += 1
            if answer.status != Status.OK:
                self.refused += 1
                raise Gone("refused")
            yield stream

    @asynccontextmanager
    async def _stream(self, host: Host) -> AsyncIterator[INetStream]:
        connection = direct_to(host.swarm, self.worker)
        if connection is None:
            raise Gone("hung up on")
        stream = await messages.open_stream(connection, STOP)
        try:
            yield stream
        finally:
            await messages.reset(stream)


def framed(message: HopMessage | StopMessage) -> bytes:
    return encode_varint_prefixed(message.SerializeToString())
