"""The deafness cure: an inbound connection gives its slot back when it ends."""

from __future__ import annotations

from contextlib import suppress

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm

from pinning_worker.adapters.p2p.cures.connections import deafness
from tests.adapters.p2p.cure_rig import bare_host, brought_about, connect, outcome, play

SLOTS, CALLERS = 2, 4


async def one_after_the_other() -> str:
    """More callers than slots, each gone before the next one comes; then more at the same time than there are slots."""
    limits = ConnectionConfig(max_connections=SLOTS + 2, min_connections=2, low_watermark=2, high_watermark=SLOTS + 2)
    async with bare_host(connection_config=limits) as host:
        let_in = 0
        for _ in range(CALLERS):
            async with bare_host() as caller:
                let_in += await gets_in(caller, host)
            await brought_about(lambda: _free(host) == SLOTS, seconds=2)
        async with bare_host() as one, bare_host() as two, bare_host() as three:
            together = [await gets_in(caller, host) for caller in (one, two, three)]
    return f"one after the other: {let_in} of {CALLERS}; at the same time: {sum(together)} of 3"


async def gets_in(caller: BasicHost, host: BasicHost) -> bool:
    with trio.move_on_after(3), suppress(SwarmException):
        await connect(caller, host)
        return True
    return False


def _free(host: BasicHost) -> int:
    swarm = host.get_network()
    assert isinstance(swarm, Swarm)
    return int(swarm._inbound_limiter.available_tokens)


def test_every_caller_gets_in_and_the_limit_still_holds() -> None:
    assert outcome(one_after_the_other, stock=False) == "one after the other: 4 of 4; at the same time: 2 of 3"


def test_the_stock_library_goes_deaf() -> None:
    assert outcome(one_after_the_other, stock=True) == "one after the other: 2 of 4; at the same time: 0 of 3"


if __name__ == "__main__":
    play(globals(), deafness)
