"""The cure for streams that are given up while they are opened: the connection has as many places as before."""

from __future__ import annotations

from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol

from pinning_worker.adapters.p2p.cures.streams import given_up_streams, whole_frames
from tests.adapters.p2p.cure_rig import bare_host, brought_about, connect, outcome, play, until

ANY = TProtocol("/any/1")
STEPS = 30


async def given_up_at_every_step() -> str:
    """One connection: an opening is cancelled after its first turn, another after its second, and so on."""

    async def refuse(stream: INetStream) -> None:
        await stream.reset()

    whole_frames.mend()  # or the connection itself would end of it
    async with bare_host() as receiver, bare_host() as sender:
        receiver.set_stream_handler(ANY, refuse)
        await connect(sender, receiver)
        (connection,) = sender.get_network().get_connections(receiver.get_id())
        places = cast("Any", connection).muxed_conn.stream_backlog_semaphore
        assert await until(lambda: places.value == 256)
        for steps in range(STEPS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.new_stream, receiver.get_id(), [ANY])
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        return "all places are free" if await brought_about(lambda: places.value == 256, seconds=5) else "some are lost"


def test_all_places_are_free_again() -> None:
    assert outcome(given_up_at_every_step, stock=False) == "all places are free"


def test_on_the_stock_library_some_are_lost() -> None:
    assert outcome(given_up_at_every_step, stock=True) == "some are lost"


if __name__ == "__main__":
    play(globals(), given_up_streams)
