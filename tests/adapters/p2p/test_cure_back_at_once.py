"""The back-at-once cure: a peer that comes back while its old connection is being closed is known to be here."""

from __future__ import annotations

import trio
from libp2p.abc import INetConn, INetwork
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.swarm import Swarm

from pinning_worker.adapters.p2p.cures.connections import back_at_once
from pinning_worker.adapters.p2p.host.notifee import Neighbours
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play


class _TakesItsTime(Neighbours):
    """Closing goes on when everybody who is told of it has heard."""

    def __init__(self) -> None:
        super().__init__()
        self.told, self.heard = trio.Event(), trio.Event()

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        self.told.set()
        await self.heard.wait()


async def back_while_we_hang_up() -> str:
    """One peer as two processes with one key: the old one and the new one."""
    key = create_new_key_pair()
    async with bare_host() as host, bare_host(key=key) as old, bare_host(key=key) as new:
        swarm = host.get_network()
        assert isinstance(swarm, Swarm)
        slow = _TakesItsTime()
        await connect(old, host)
        swarm.register_notifee(slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.disconnect, old.get_id())
            await slow.told.wait()
            await connect(host, new)
            there = len(swarm.get_connections(new.get_id()))
            slow.heard.set()
        left = len(swarm.get_connections(new.get_id()))
        swarm.remove_notifee(slow)
    return f"there: {there}, when the old one is closed: {left}"


def test_it_is_known() -> None:
    assert outcome(back_while_we_hang_up, stock=False) == "there: 1, when the old one is closed: 1"


def test_in_the_stock_library_it_is_not() -> None:
    assert outcome(back_while_we_hang_up, stock=True) == "there: 1, when the old one is closed: 0"


if __name__ == "__main__":
    play(globals(), back_at_once)
