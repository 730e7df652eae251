"""The cure for half frames: a write may be given up at any of its steps, and the connection lives."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.stream.exceptions import StreamError

from pinning_worker.adapters.p2p.cures.streams import whole_frames
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play, until

SINK = TProtocol("/sink/1")
MANY = 64 * 1024 * 1024  # more than all buffers between two hosts
STEPS = 40  # a write of three frames takes fewer turns of the scheduler


async def given_up_at_every_step() -> str:
    """One connection: a write is cancelled after its first turn, another after its second, and so on."""
    async with bare_host() as receiver, bare_host() as sender:
        receiver.set_stream_handler(SINK, _read_all)
        await connect(sender, receiver)
        for steps in range(STEPS):
            await _give_up(await sender.new_stream(receiver.get_id(), [SINK]), steps)
            if not await _lives(sender, receiver):
                return "the connection is dead"
    return "the connection lives"


async def a_peer_that_takes_no_byte() -> str:
    """It has said that its window is wide, and reads no more: the stream to it is given up, and reset."""
    whole_frames.JAMMED_SECONDS = 1.0
    said = "it waits"
    with trio.CancelScope() as all_of_it:
        async with bare_host() as receiver, bare_host() as sender:
            receiver.set_stream_handler(SINK, _read_all)
            await connect(sender, receiver)
            (theirs,) = receiver.get_network().get_connections(sender.get_id())
            stream = await sender.new_stream(receiver.get_id(), [SINK])
            cast("Any", theirs).muxed_conn.secured_conn.read = _never
            cast("Any", stream).muxed_stream.send_window = MANY
            with trio.move_on_after(2), suppress(BaseLibp2pError):
                await stream.write(bytes(MANY))
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 20), suppress(BaseLibp2pError):
                await stream.reset()
            if await until(lambda: not sender.get_network().get_connections(receiver.get_id())):
                said = "the connection is ended"
            all_of_it.cancel()  # closing waits, too, on the stock library
    return said


async def _never(n: int | None = None) -> bytes:
    await trio.sleep_forever()


async def _give_up(stream: INetStream, steps: int) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write, bytes(150_000))
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    await stream.reset()


async def _lives(sender: BasicHost, receiver: BasicHost) -> bool:
    """Is a stream answered on the connection that there was?"""
    (connection,) = sender.get_network().get_connections(receiver.get_id())
    with trio.move_on_after(5), suppress(BaseLibp2pError):
        stream = await sender.new_stream(receiver.get_id(), [SINK])
        await stream.reset()
        return sender.get_network().get_connections(receiver.get_id()) == [connection]
    return False


async def _read_all(stream: INetStream) -> None:
    with suppress(StreamError):
        while await stream.read(65536):
            pass


def test_the_connection_lives() -> None:
    assert outcome(given_up_at_every_step, stock=False) == "the connection lives"


def test_who_takes_nothing_for_long_is_left() -> None:
    assert outcome(a_peer_that_takes_no_byte, stock=False) == "the connection is ended"


def test_on_the_stock_library_who_takes_nothing_is_waited_for() -> None:
    assert outcome(a_peer_that_takes_no_byte, stock=True) == "it waits"


def test_on_the_stock_library_it_dies() -> None:
    assert outcome(given_up_at_every_step, stock=True) == "the connection is dead"


if __name__ == "__main__":
    play(globals(), whole_frames)
