"""The stream limit cure: who opens streams and keeps them loses what is over, and others still open theirs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import cast

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.cures.process import crash
from pinning_worker.adapters.p2p.cures.streams import stream_limit
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play, until

ECHO = TProtocol("/held/1")
OPENED, LIMIT = 60, 20


async def a_hoarder() -> str:
    async with AsyncExitStack() as stack:
        host, hoarder, honest = [await stack.enter_async_context(bare_host()) for _ in range(3)]
        stream_limit.set_limit(cast("Swarm", host.get_network()), LIMIT)
        held: set[INetStream] = set()

        async def hold(stream: INetStream) -> None:
            held.add(stream)
            await trio.sleep_forever()

        host.set_stream_handler(ECHO, hold)
        for peer in (hoarder, honest):
            await connect(peer, host)
        with trio.move_on_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(OPENED):
                    nursery.start_soon(_open, hoarder, host.get_id())
        await until(lambda: len(held) >= OPENED, seconds=2)
        of_hoarder = len(held)
        await _open(honest, host.get_id())
        came = await until(lambda: len(held) > of_hoarder)
        few = of_hoarder <= LIMIT
        stack.push_async_callback(host.close)
        return f"few: {few}, the honest one: {came}"


async def _open(peer: IHost, other: ID) -> None:
    try:
        await peer.new_stream(other, [ECHO])
    except Exception:  # noqa: BLE001  it was reset
        return


def test_only_so_many_of_one_peer() -> None:
    assert outcome(a_hoarder, stock=False) == "few: True, the honest one: True"


def test_the_stock_library_lets_it_have_all() -> None:
    assert outcome(a_hoarder, stock=True).startswith("few: False")


if __name__ == "__main__":
    play(globals(), crash, stream_limit)
