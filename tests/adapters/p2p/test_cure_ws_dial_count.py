"""The ws-dial-count cure: who has dialled many websockets, one after the other, can dial the next."""

from __future__ import annotations

from typing import Any, cast

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import RetryConfig
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.transport.websocket.transport import WebsocketTransport
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.ports import ws_dial_count
from tests.adapters.p2p.cure_rig import TCP, bare_host, outcome, play

MOST = 3  # of 1000, so that it takes no minute


async def dial_one_after_the_other() -> str:
    said = ""
    with trio.CancelScope() as scope:  # the connection over the count is left open, and would keep us for a minute
        async with bare_host(TCP + "/ws") as host, bare_host(TCP + "/ws") as us:
            said = await dial(us, host, MOST + 1)
            scope.cancel()
    return said


async def dial(us: BasicHost, host: BasicHost, times: int) -> str:
    swarm = cast("Swarm", us.get_network())
    swarm.retry_config = RetryConfig(max_retries=0)
    (transport,) = swarm.transport_manager.get_transports()
    cast("WebsocketTransport", transport)._config.max_connections = MOST
    port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
    for number in range(1, times + 1):
        try:
            connection: Any = await swarm.dial_addr(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}/ws"), host.get_id())
        except SwarmException as error:
            return f"dial {number}: {error.__cause__}"
        await connection.close()
    return f"dial {times}: connected"


def test_it_can_dial_the_next() -> None:
    assert outcome(dial_one_after_the_other, stock=False) == "dial 4: connected"


def test_the_stock_library_cannot() -> None:
    assert outcome(dial_one_after_the_other, stock=True) == "dial 4: Maximum connections reached"


if __name__ == "__main__":
    play(globals(), ws_dial_count)
