"""The ws-close cure: when a peer ends the connections that we dialled over ws, their sockets are closed."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.ports import ws_close
from tests.adapters.p2p.cure_rig import TCP, bare_host, brought_about, outcome, play, until

CONNECTIONS = 8


def open_sockets() -> int:
    return sum(
        str(each.readlink()).startswith("socket:") for each in Path("/proc/self/fd").iterdir() if each.is_symlink()
    )


async def the_peer_ends_them() -> str:
    """Several, for now and then the library's own order of things closes one."""
    said = ""
    with trio.CancelScope() as scope:  # a socket that is left open would keep us
        async with bare_host(TCP + "/ws") as host, bare_host(TCP + "/ws") as us:
            before = open_sockets()
            for _ in range(CONNECTIONS):
                await connect_and_be_left(us, host)
            said = "all closed" if await brought_about(lambda: open_sockets() == before, seconds=5) else "some are open"
            scope.cancel()
    return said


async def connect_and_be_left(us: BasicHost, host: BasicHost) -> None:
    swarm = cast("Swarm", us.get_network())
    port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
    await swarm.dial_addr(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}/ws"), host.get_id())
    assert await until(lambda: bool(host.get_network().get_connections(us.get_id())))
    await host.disconnect(us.get_id())
    assert await until(lambda: not swarm.get_connections())


def test_the_sockets_are_closed() -> None:
    assert outcome(the_peer_ends_them, stock=False) == "all closed"


def test_in_the_stock_library_they_stay_open() -> None:
    assert outcome(the_peer_ends_them, stock=True) == "some are open"


if __name__ == "__main__":
    play(globals(), ws_close)
