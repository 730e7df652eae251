"""The stream-close cure: a stream whose FIN or RST a deadline cuts short gives its places back, here and there."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.swarm import Swarm
from libp2p.rcmgr import ResourceManager

from pinning_worker.adapters.p2p.cures.streams import given_up_streams, stream_close, whole_frames
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play, until
from tests.adapters.p2p.jammed import jammed

READ = TProtocol("/read/1")
STREAMS = 8
PATIENCE = 0.2


async def ends_cut_short() -> str:
    async with bare_host(resource_manager=ResourceManager()) as host, bare_host() as peer:
        swarm = host.get_network()
        assert isinstance(swarm, Swarm)
        free = swarm._stream_semaphore
        assert free is not None
        peer.set_stream_handler(READ, read_to_the_end)
        await connect(peer, host)
        await until(lambda: bool(swarm.get_connections(peer.get_id())))
        muxed, at_the_peer = (cast("Any", each.get_network().get_connections()[0]).muxed_conn for each in (host, peer))
        await until(lambda: not muxed.streams and not at_the_peer.streams)  # identify is over
        before = free.value, muxed.stream_backlog_semaphore.value
        full = [await host.new_stream(peer.get_id(), [READ]) for _ in range(STREAMS)]
        streams = [await host.new_stream(peer.get_id(), [READ]) for _ in range(STREAMS)]
        async with jammed(host, peer, full):
            for number, stream in enumerate(streams):
                with trio.move_on_after(PATIENCE):
                    await (stream.reset() if number % 2 else stream.close())
        for stream in full:
            await stream.close()
        here = await until(lambda: (free.value, muxed.stream_backlog_semaphore.value) == before)
        there = await until(lambda: not at_the_peer.streams)
    return f"given back: {here}, the peer knows: {there}"


async def read_to_the_end(stream: INetStream) -> None:
    with suppress(BaseLibp2pError, EOFError):
        while await stream.read(65536):
            pass
    await stream.close()


def test_the_places_are_given_back() -> None:
    assert outcome(ends_cut_short, stock=False) == "given back: True, the peer knows: True"


def test_in_the_stock_library_they_are_not() -> None:
    assert outcome(ends_cut_short, stock=True) == "given back: False, the peer knows: False"


if __name__ == "__main__":
    play(globals(), given_up_streams, whole_frames, stream_close)
