"""The ws-refusal cure: a web server that wants no websocket refuses the dial, and the host lives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.ports import ws_refusal
from tests.adapters.p2p.cure_rig import TCP, bare_host, outcome, play

ANSWERS = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"HTTP/1.1 301 Moved Permanently\r\nLocation: /\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x00\xff" * 500,
    b"HTTP/1.1 ",
    b"",
)
NOBODY = ID.from_pubkey(create_new_key_pair().public_key)


async def many_web_servers() -> str:
    """One after the other; each answers in its way what is no websocket, and hangs up."""
    refused = 0
    async with bare_host(TCP + "/ws") as us:
        for answer in ANSWERS:
            async with web_server(answer) as address:
                try:
                    await cast("Swarm", us.get_network()).dial_addr(address, NOBODY)
                except BaseLibp2pError:
                    refused += 1
    return f"{refused} refused"


@asynccontextmanager
async def web_server(answer: bytes) -> AsyncIterator[Multiaddr]:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)
        await stream.aclose()

    listen = cast("Callable[..., Awaitable[None]]", partial(trio.serve_tcp, host="127.0.0.1"))
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(listen, serve, 0)
        yield Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}/ws")
        nursery.cancel_scope.cancel()


def test_the_dial_is_refused_and_the_host_lives() -> None:
    assert outcome(many_web_servers, stock=False) == f"{len(ANSWERS)} refused"


def test_in_the_stock_library_the_host_dies() -> None:
    assert "ConnectionRejected" in outcome(many_web_servers, stock=True)


if __name__ == "__main__":
    play(globals(), ws_refusal)
