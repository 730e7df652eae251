"""Honest frames in any order, cut anywhere, with reads given up at any time: no byte is lost, nor the connection.

A peer that keeps its windows, on a wire of memory, against the bytes that it sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset
from libp2p.stream_muxer.yamux.yamux import (
    DEFAULT_WINDOW_SIZE,
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    TYPE_DATA,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
)

from pinning_worker.adapters.p2p.bounds.stream_window import SMALLEST
from pinning_worker.adapters.p2p.cures import mend_all

STREAMS, HEADER = 4, struct.calcsize(YAMUX_HEADER_FORMAT)
SLOW_BELOW = 2500  # bytes in a piece: then what we write takes its time as well

opens = st.tuples(st.just("open"), st.integers(0, STREAMS - 1), st.integers(0, 3000))
sends = st.tuples(st.just("send"), st.integers(0, STREAMS - 1), st.integers(0, 150_000))
ends = st.tuples(st.sampled_from(["fin", "rst", "our reset", "our close"]), st.integers(0, STREAMS - 1), st.just(0))
idles = st.tuples(st.sampled_from(["ping", "cut", "turn"]), st.just(0), st.integers(1, 5000))
STEPS = st.lists(st.one_of(opens, sends, sends, sends, ends, idles), min_size=8, max_size=40)


@dataclass
class Sent:
    """A stream as the peer sees it. `ended`: by its FIN. `broken`: somebody reset it."""

    number: int
    data: bytearray = field(default_factory=bytearray)
    window: int = DEFAULT_WINDOW_SIZE
    ended: bool = False
    broken: bool = False
    ours: YamuxStream | None = None
    read: bytearray = field(default_factory=bytearray)
    read_to: str = ""

    @property
    def is_late(self) -> bool:
        """Nothing of it is read before all has been sent."""
        return self.number % 8 == 1

    @property
    def may_send(self) -> bool:
        """There is room for half of the smallest window, or nothing to send any more."""
        return self.ended or self.broken or self.window >= SMALLEST // 2


class Wire:
    """The wire between: bytes come in pieces of any size, and the peer reads the bytes that we write."""

    is_initiator = False

    def __init__(self, peer: Peer) -> None:
        self.cut = 1 << 20
        self._peer = peer
        self._coming = bytearray()
        self._more = trio.Event()

    def brings(self, data: bytes) -> None:
        self._coming += data
        self._more.set()

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._coming:
            self._more = trio.Event()
            await self._more.wait()
        count = min(len(self._coming), self.cut, n or self.cut)
        data = bytes(self._coming[:count])
        del self._coming[:count]
        return data

    async def write(self, data: bytes) -> None:
        await trio.sleep(0.002 if self.cut < SLOW_BELOW else 0)
        self._peer.hears(*struct.unpack(YAMUX_HEADER_FORMAT, data[:HEADER]))

    async def close(self) -> None: ...


class Peer:
    """Keeps the rules."""

    def __init__(self) -> None:
        self.wire = Wire(self)
        self.sent: dict[int, Sent] = {}
        self.answered: list[int] = []
        self.places: list[Sent | None] = [None] * STREAMS
        self.late = trio.Event()
        self._next = 1
        self._letters = 0

    async def until(self, happened: Callable[[], bool]) -> None:
        while not happened():  # noqa: ASYNC110  there is no event to wait for
            await trio.sleep(0.001)

    def hears(self, _version: int, kind: int, flags: int, number: int, value: int) -> None:
        if kind == TYPE_PING and flags & FLAG_ACK:
            self.answered.append(value)
        if kind == TYPE_WINDOW_UPDATE and (stream := self.sent.get(number)) is not None:
            stream.window += value
            stream.broken |= bool(flags & FLAG_RST)

    def says(self, kind: int, flags: int, number: int, value: int, data: bytes = b"") -> None:
        self.wire.brings(struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, number, value) + data)

    def opens(self, place: int, size: int) -> None:
        stream = self.places[place] = self.sent[self._next] = Sent(self._next)
        self._next += 2
        if size:
            self._sends(stream, FLAG_SYN, size)
        else:
            self.says(TYPE_WINDOW_UPDATE, FLAG_SYN, stream.number, 0)

    def sends(self, place: int, size: int) -> None:
        stream = self.places[place]
        if stream is not None and not stream.broken and not stream.ended:
            self._sends(stream, 0, min(size, stream.window))

    def _sends(self, stream: Sent, flags: int, size: int) -> None:
        self._letters += 1
        data = bytes([self._letters % 256]) * size
        stream.data += data
        stream.window -= size
        self.says(TYPE_DATA, flags, stream.number, size, data)

    def ends(self, place: int, flag: int) -> None:
        stream = self.places[place]
        if stream is not None and not stream.broken and not (stream.ended and flag == FLAG_FIN):
            self.says(TYPE_WINDOW_UPDATE, flag, stream.number, 0)
            stream.broken |= flag == FLAG_RST
            stream.ended = True


async def play(steps: list[tuple[str, int, int]], impatience: int) -> None:
    peer = Peer()
    connection = Yamux(cast("Any", peer.wire), ID(b"peer"), is_initiator=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.start)
        nursery.start_soon(accept, connection, peer, nursery, impatience)
        await connection.event_started.wait()
        for step in steps:
            await take(peer, *step)
        peer.says(TYPE_PING, FLAG_SYN, 0, 4711)
        with trio.fail_after(20):
            await peer.until(lambda: all(stream.may_send for stream in peer.places if stream and not stream.is_late))
            for place in range(STREAMS):
                peer.ends(place, FLAG_FIN)
            peer.late.set()
            await peer.until(lambda: 4711 in peer.answered)
            await peer.until(lambda: all(stream.read_to for stream in peer.sent.values()))
        assert not connection.is_closed
        nursery.cancel_scope.cancel()
    for stream in peer.sent.values():
        whole, came = bytes(stream.data), bytes(stream.read)
        assert whole.startswith(came) if stream.broken else (came, stream.read_to) == (whole, "its end")


async def take(peer: Peer, what: str, place: int, size: int) -> None:
    stream = peer.places[place]
    ours = stream.ours if stream is not None else None
    match what:
        case "open" if stream is None or stream.ended:
            peer.opens(place, size)
        case "send":
            peer.sends(place, size)
        case "fin":
            peer.ends(place, FLAG_FIN)
        case "rst":
            peer.ends(place, FLAG_RST)
        case "our reset" if ours is not None and stream is not None:
            stream.broken = True
            await ours.reset()
        case "our close" if ours is not None:
            await ours.close()
        case "ping":
            peer.says(TYPE_PING, FLAG_SYN, 0, size)
        case "cut":
            peer.wire.cut = size
        case "turn":
            await trio.testing.wait_all_tasks_blocked()
        case _:  # there is nothing to open, or no stream of ours to close
            pass


async def accept(connection: Yamux, peer: Peer, nursery: trio.Nursery, impatience: int) -> None:
    while True:
        stream = cast("YamuxStream", await connection.accept_stream())
        sent = peer.sent[stream.stream_id]
        sent.ours = stream
        nursery.start_soon(read, stream, sent, impatience, peer.late)


async def read(stream: YamuxStream, sent: Sent, impatience: int, late: trio.Event) -> None:
    """In pieces of some size, and all but one of so many times for a turn of the event loop."""
    if sent.is_late:
        await late.wait()
    for turn in range(1 << 30):
        try:
            with trio.move_on_after(0 if impatience and turn % impatience else 10):
                sent.read += await stream.read(10_000 + turn)
        except MuxedStreamEOF:
            sent.read_to = "its end"
            return
        except MuxedStreamReset:
            sent.read_to = "a reset"
            return


@settings(max_examples=150)
@given(STEPS, st.integers(0, 3))
def test_no_byte_is_lost_nor_the_connection(steps: list[tuple[str, int, int]], impatience: int) -> None:
    mend_all()
    trio.run(partial(play, steps, impatience))
