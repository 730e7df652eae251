"""The cure for slow readers: one that takes nothing for longer than five seconds still gets all of a large message."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF, StreamError

from pinning_worker.adapters.p2p.cures.streams import slow_readers
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play, until

SLOW = TProtocol("/slow/1")
MESSAGE = bytes(range(256)) * 4096 * 24  # 24 MiB: more than the largest window
PAUSE = 6.5  # over the library's patience of 5 s, which cannot be had faster: its clock is the network's


async def a_pause() -> str:
    """The reader pauses with the window full, then reads on."""
    taken = bytearray()

    async def read_late(stream: INetStream) -> None:
        await trio.sleep(PAUSE)
        await _read_into(taken, stream)

    async with bare_host() as receiver, bare_host() as sender:
        receiver.set_stream_handler(SLOW, read_late)
        await connect(sender, receiver)
        stream = await sender.new_stream(receiver.get_id(), [SLOW])
        try:
            await stream.write(MESSAGE)
            await stream.close()
        except StreamError as error:
            return f"gave up: {error.__cause__}"
        await until(lambda: len(taken) == len(MESSAGE))
    return "all arrived" if taken == MESSAGE else f"{len(taken)} bytes arrived"


async def an_end_while_waiting() -> str:
    """The reader resets the stream while the writer waits for its window: the writer is told, not left waiting."""

    async def reset_when_full(stream: INetStream) -> None:
        muxed = cast("Any", stream).muxed_stream
        await until(lambda: muxed.recv_window <= 0)
        await stream.reset()

    async with bare_host() as receiver, bare_host() as sender:
        receiver.set_stream_handler(SLOW, reset_when_full)
        await connect(sender, receiver)
        stream = await sender.new_stream(receiver.get_id(), [SLOW])
        with trio.move_on_after(5):
            try:
                await stream.write(MESSAGE)
            except StreamError:
                return "told"
    return "not told"


async def two_writers() -> str:
    """Two streams of one connection, both over their window: each gets its own bytes, in order."""
    taken: dict[int, bytearray] = {}

    async def read(stream: INetStream) -> None:
        mine = taken[len(taken)] = bytearray()
        await _read_into(mine, stream)

    async with bare_host() as receiver, bare_host() as sender:
        receiver.set_stream_handler(SLOW, read)
        await connect(sender, receiver)
        async with trio.open_nursery() as nursery:
            for content in (MESSAGE, MESSAGE[::-1]):
                stream = await sender.new_stream(receiver.get_id(), [SLOW])
                nursery.start_soon(partial(_write_and_close, stream, content))
        await until(lambda: [len(mine) for mine in taken.values()] == [len(MESSAGE)] * 2)
    return "both whole" if sorted(map(bytes, taken.values())) == sorted([MESSAGE, MESSAGE[::-1]]) else "mixed up"


async def _write_and_close(stream: INetStream, content: bytes) -> None:
    await stream.write(content)
    await stream.close()


async def _read_into(taken: bytearray, stream: INetStream) -> None:
    try:
        while True:
            taken += await stream.read(65536)
    except StreamEOF:
        await stream.close()


def test_a_reader_that_pauses_gets_everything() -> None:
    assert outcome(a_pause, stock=False) == "all arrived"


def test_on_the_stock_library_the_writer_gives_up() -> None:
    assert "Timed out waiting for window update" in outcome(a_pause, stock=True)


def test_a_writer_that_waits_hears_of_the_end() -> None:
    assert outcome(an_end_while_waiting, stock=False) == "told"


def test_streams_do_not_mix() -> None:
    assert outcome(two_writers, stock=False) == "both whole"


if __name__ == "__main__":
    play(globals(), slow_readers)
