"""The ws-close cure: when a peer ends the connection that we dialled over ws, its socket is closed."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import trio
from libp2p.network.swarm import Swarm
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures import ws_close
from tests.adapters.p2p.cure_rig import TCP, bare_host, outcome, play, until


def open_sockets() -> int:
    return sum(
        str(each.readlink()).startswith("socket:") for each in Path("/proc/self/fd").iterdir() if each.is_symlink()
    )


async def the_peer_ends_it() -> str:
    said = ""
    with trio.CancelScope() as scope:  # a socket that is left open would keep us
        async with bare_host(TCP + "/ws") as host, bare_host(TCP + "/ws") as us:
            swarm = cast("Swarm", us.get_network())
            port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
            before = open_sockets()
            await swarm.dial_addr(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}/ws"), host.get_id())
            assert await until(lambda: us.get_id() in host.get_network().connections)
            await host.disconnect(us.get_id())
            assert await until(lambda: not swarm.get_connections())
            said = "closed" if await until(lambda: open_sockets() == before, seconds=3) else "open"
            scope.cancel()
    return said


def test_the_socket_is_closed() -> None:
    assert outcome(the_peer_ends_it, stock=False) == "closed"


def test_in_the_stock_library_it_stays_open() -> None:
    assert outcome(the_peer_ends_it, stock=True) == "open"


if __name__ == "__main__":
    play(globals(), ws_close)
