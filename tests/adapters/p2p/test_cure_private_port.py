"""The cure for shared ports: at a private one a nonce goes to tcp, HTTP to ws as before; elsewhere it is closed."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from libp2p.transport.cmux import DemultiplexedConnType, DemultiplexedListener, PortDemultiplexer
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.ports import private_port
from tests.adapters.p2p.cure_rig import TCP, outcome, play

NONCE, HTTP = b"\xff\xfe\xfd", b"GET"
KINDS = {"tcp": DemultiplexedConnType.MULTISTREAM_SELECT, "ws": DemultiplexedConnType.HTTP}


async def at_a_private_port() -> str:
    return f"nonce: {await _goes_to(NONCE, private=True)}, HTTP: {await _goes_to(HTTP, private=True)}"


async def at_an_open_port() -> str:
    return f"nonce: {await _goes_to(NONCE, private=False)}, HTTP: {await _goes_to(HTTP, private=False)}"


async def _goes_to(first: bytes, private: bool) -> str:
    """The name of the listener that is handed a connection with these first bytes, or that it was closed."""
    port = PortDemultiplexer("127.0.0.1", 0)
    if private:
        private_port.is_private(port)
    outcomes = ["no outcome"]
    async with trio.open_nursery() as nursery:

        async def take(name: str, listener: DemultiplexedListener) -> None:
            async for connection in listener.connections():
                outcomes.append(name)
                await connection.aclose()

        port.background_nursery = nursery  # type: ignore[attr-defined]  # as the swarm does
        for name, kind in KINDS.items():
            nursery.start_soon(take, name, port.demultiplexed_listen(Multiaddr(TCP), kind))
        await port.listen(Multiaddr(TCP))
        async with await trio.open_tcp_stream("127.0.0.1", port.port) as stream:
            await stream.send_all(first)
            if await _ended(stream) and len(outcomes) == 1:
                outcomes.append("closed")
        nursery.cancel_scope.cancel()
    return outcomes[-1]


async def _ended(stream: trio.SocketStream) -> bool:
    with suppress(trio.BrokenResourceError):
        assert await stream.receive_some() == b""
    return True


@pytest.mark.parametrize("stock", [False, True])
def test_an_open_port_knows_no_nonce(stock: bool) -> None:
    assert outcome(at_an_open_port, stock=stock) == "nonce: closed, HTTP: ws"


def test_at_a_private_port_it_is_tcp() -> None:
    assert outcome(at_a_private_port, stock=False) == "nonce: tcp, HTTP: ws"


def test_on_the_stock_library_it_is_closed() -> None:
    assert outcome(at_a_private_port, stock=True) == "nonce: closed, HTTP: ws"


if __name__ == "__main__":
    play(globals(), private_port)
