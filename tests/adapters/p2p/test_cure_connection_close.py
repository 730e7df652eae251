"""The connection-close cure: a peer that reads nothing and is disconnected leaves no connection and no stream."""

from __future__ import annotations

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.swarm import Swarm
from libp2p.rcmgr import ResourceManager

from pinning_worker.adapters.p2p.cures.connections import connection_close, deafness
from pinning_worker.adapters.p2p.cures.streams import whole_frames
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play, until
from tests.adapters.p2p.jammed import jammed, wire_of

HOLD = TProtocol("/hold/1")
STREAMS = 8


async def sent_away_while_it_takes_nothing() -> str:
    async with bare_host(resource_manager=ResourceManager()) as host, bare_host() as peer:
        swarm = host.get_network()
        assert isinstance(swarm, Swarm)
        free = swarm._stream_semaphore
        assert free is not None
        places = free.value
        peer.set_stream_handler(HOLD, hold)
        await connect(peer, host)
        await until(lambda: bool(swarm.get_connections(peer.get_id())))
        streams = [await host.new_stream(peer.get_id(), [HOLD]) for _ in range(STREAMS)]
        wire = wire_of(peer)
        async with jammed(host, peer, streams):
            with trio.move_on_after(0.5):
                await host.disconnect(peer.get_id())
            await trio.aclose_forcefully(wire)
        gone = await until(lambda: not swarm.get_connections(peer.get_id()))
        given_back = await until(lambda: free.value == places)
    return f"gone: {gone}, its streams too: {given_back}"


async def hold(_: INetStream) -> None:
    await trio.sleep_forever()


def test_it_is_gone() -> None:
    assert outcome(sent_away_while_it_takes_nothing, stock=False) == "gone: True, its streams too: True"


def test_in_the_stock_library_it_stays() -> None:
    assert outcome(sent_away_while_it_takes_nothing, stock=True) == "gone: False, its streams too: False"


if __name__ == "__main__":
    play(globals(), deafness, whole_frames, connection_close)
