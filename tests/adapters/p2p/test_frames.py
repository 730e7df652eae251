"""Messages on a stream, cut in every way that a network can cut them."""

import math

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from trio.testing import MockClock

from pinning_worker.adapters.p2p.frames import (
    AT_ONCE,
    FRAME_SECONDS,
    LARGE_FRAME,
    SILENCE_SECONDS,
    BadFrame,
    FrameReader,
    StreamGone,
    write_frame,
)
from pinning_worker.domain.content.cid import encode_varint


class Cut:
    """A stream that gives its bytes in the pieces it was told, then ends as py-libp2p's streams end."""

    def __init__(self, *pieces: bytes, end: Exception | None = None) -> None:
        self.pieces = list(pieces)
        self.end = end or StreamEOF()
        self.written = b""

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self.pieces:
            raise self.end
        return self.pieces.pop(0)

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None: ...

    async def reset(self) -> None: ...


async def read_all(reader: FrameReader) -> list[bytes]:
    frames = []
    while (frame := await reader.next()) is not None:
        frames.append(bytes(frame))
    return frames


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_out_whole_however_they_are_cut(frames: list[bytes], sizes: list[int]) -> None:
    async def main() -> None:
        writer = Cut()
        for frame in frames:
            await write_frame(writer, frame)
        rest = writer.written
        pieces: list[bytes] = []
        while rest:
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(rest[:size])
            rest = rest[size:]
        assert await read_all(FrameReader(Cut(*pieces))) == frames

    trio.run(main)


async def test_a_length_over_the_limit_is_refused_before_its_bytes_come() -> None:
    stream = Cut(encode_varint(101), b"never read")
    with pytest.raises(BadFrame, match="101 bytes"):
        await FrameReader(stream, lambda: 100).next()
    assert stream.pieces == [b"never read"]


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x80\x80\x80\x80\x80\x01"])
async def test_a_length_that_never_ends(length: bytes) -> None:
    with pytest.raises(BadFrame):
        await FrameReader(Cut(length)).next()


@pytest.mark.parametrize("start", [b"\x05abc", b"\x80"])
async def test_an_end_inside_a_message_is_no_clean_end(start: bytes) -> None:
    with pytest.raises(StreamGone):
        await FrameReader(Cut(start)).next()


async def test_a_reset_is_told_as_such() -> None:
    with pytest.raises(StreamGone, match="StreamReset"):
        await FrameReader(Cut(end=StreamReset())).next()


async def test_a_thousand_messages_in_one_piece_leave_everybody_else_their_turn() -> None:
    reader, turns = FrameReader(Cut(bytes(1000))), 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(somebody_else)
        assert await read_all(reader) == [b""] * 1000
        nursery.cancel_scope.cancel()
    assert turns >= 1000


async def test_messages_behind_one_are_not_copied_for_each() -> None:
    """One piece of a mebibyte is one copy of a mebibyte, not half a million of them."""
    reader = FrameReader(Cut(piece := b"\x01a" * 512 * 1024))
    first, second = await reader.next(), await reader.next()
    assert first is not None
    assert second is not None
    assert first.obj is second.obj is piece


class Drip(Cut):
    """One byte every ten seconds, for ever."""

    async def read(self, n: int | None = None) -> bytes:
        await trio.sleep(10)
        return b"\x7f"


async def test_a_slow_loris_gets_its_time_and_no_more(autojump_clock: MockClock) -> None:
    with pytest.raises(StreamGone, match="silent"):
        await FrameReader(Drip()).next()
    assert trio.current_time() <= SILENCE_SECONDS + FRAME_SECONDS


class SlowLine(Cut):
    """A piece each second."""

    async def read(self, n: int | None = None) -> bytes:
        await trio.sleep(1)
        return await super().read(n)


async def test_a_large_message_over_a_slow_line_comes_whole_and_is_told_as_it_comes(autojump_clock: MockClock) -> None:
    """As much as a message may hold, behind 50 kB/s: 84 seconds, more than a small one gets."""
    message, told = bytes(4 * 1024 * 1024), list[int]()
    pieces = [message[at : at + 50_000] for at in range(0, len(message), 50_000)]
    line = SlowLine(encode_varint(len(message)), *pieces)
    assert bytes(await FrameReader(line, received=told.append).next() or b"") == message
    assert sum(told[1:]) == len(message)


class Stalled(Cut):
    """Gives its pieces, then nothing, until it is told to go on."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(*pieces)
        self.read_on = trio.Event()

    async def read(self, n: int | None = None) -> bytes:
        if not self.pieces:
            await self.read_on.wait()
            self.pieces, self.read_on = [bytes(LARGE_FRAME)], trio.Event()
        return await super().read(n)


async def test_large_messages_of_one_peer_are_read_a_few_at_a_time_and_small_ones_pass() -> None:
    turns = trio.Semaphore(AT_ONCE)
    length = encode_varint(LARGE_FRAME + 1)
    held = [Stalled(length, b"x") for _ in range(AT_ONCE)]
    waiting = Cut(length, b"x", bytes(LARGE_FRAME))
    async with trio.open_nursery() as nursery:
        for stream in held:
            nursery.start_soon(FrameReader(stream, turns=turns).next)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(FrameReader(waiting, turns=turns).next)
        await trio.testing.wait_all_tasks_blocked()
        assert len(waiting.pieces) == 2  # only its length was read: the rest stays with the sender
        assert await read_all(FrameReader(Cut(b"\x05small"), turns=turns)) == [b"small"]
        held[0].read_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert waiting.pieces == []
        nursery.cancel_scope.cancel()
    assert turns.value == AT_ONCE


async def test_what_is_held_of_a_message_is_told_until_it_has_ended() -> None:
    """In pieces of one byte, as a hoarder sends it; the next message waits behind it and does not count."""
    message = bytes(5_000)
    writer = Cut()
    await write_frame(writer, message)
    await write_frame(writer, message)
    first, rest = writer.written[:5_000], writer.written[5_000:]
    told: list[int] = []
    reader = FrameReader(Cut(*(first[at : at + 1] for at in range(len(first))), rest), held=told.append)
    assert bytes(await reader.next() or b"") == message
    assert (max(told), told[-1]) == (5_000, 0)
    assert bytes(await reader.next() or b"") == message
    assert len(told) == 5_000, "the second was there already"


async def test_silence_between_messages_is_as_long_as_the_reader_allows(autojump_clock: MockClock) -> None:
    class Silent(Cut):
        async def read(self, n: int | None = None) -> bytes:
            if len(self.pieces) == 1:
                await trio.sleep(SILENCE_SECONDS * 10)
            return await super().read(n)

    writer = Cut()
    await write_frame(writer, b"hello")
    reader = FrameReader(Silent(writer.written, writer.written), silence=math.inf)
    assert await read_all(reader) == [b"hello", b"hello"]
