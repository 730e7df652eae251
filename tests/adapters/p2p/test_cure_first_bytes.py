"""The first-bytes cure: on a port shared by tcp and ws, a first line that comes in two packets is answered."""

from __future__ import annotations

import trio
import trio.testing

from pinning_worker.adapters.p2p.cures.ports import first_bytes
from tests.adapters.p2p.cure_rig import TCP, bare_host, outcome, play

LINE = b"\x13/multistream/1.0.0\n"


async def in_two_packets() -> str:
    async with bare_host(TCP, TCP + "/ws") as host:
        port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(LINE[:1])
        await trio.testing.wait_all_tasks_blocked(0.1)  # the host has read it, and waits
        try:
            await stream.send_all(LINE[1:])
            return "answered" if await stream.receive_some() == LINE else "closed"
        except trio.BrokenResourceError:
            return "closed"


def test_it_is_answered() -> None:
    assert outcome(in_two_packets, stock=False) == "answered"


def test_the_stock_library_closes_the_connection() -> None:
    assert outcome(in_two_packets, stock=True) == "closed"


if __name__ == "__main__":
    play(globals(), first_bytes)
