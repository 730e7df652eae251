"""Private networks on loopback: who has the key is in, over tcp and ws; who has none, or another, never is."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import cast

import pytest
import trio

from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.host.protected_connection import xsalsa20
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host

TCP, WS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"
KEY = secrets.token_bytes(32)
NONCE = bytes(24)
ANSWERS = {
    "nothing, and hangs up": b"",
    "half a nonce": NONCE[:12],
    "a nonce": NONCE,
    "a nonce and garbage": NONCE + bytes(5_000),
    "its lines unencrypted": NONCE + b"\x13/multistream/1.0.0\n\x07/noise\n",
    "the first line, and garbage": NONCE + xsalsa20(KEY, NONCE).encrypt(b"\x13/multistream/1.0.0\n" + b"\xff" * 500),
}


def config(swarm_key: bytes | None, *listen: str, handshake_time: timedelta = timedelta(seconds=3)) -> HostConfig:
    return HostConfig(new_key(), listen or (TCP, WS), swarm_key=swarm_key, handshake_time=handshake_time)


async def test_who_has_the_key_is_in() -> None:
    async with open_host(config(KEY)) as a, open_host(config(KEY)) as b:
        for address in a.addresses:
            assert await b.connect(address, deadline=20) == a.peer_id
            await b.disconnect(a.peer_id)


@pytest.mark.parametrize(
    ("inside", "outside"), [(KEY, None), (None, KEY), (KEY, bytes(32))], ids=["none", "a key at an open one", "another"]
)
async def test_who_has_not_is_refused_and_the_next_one_is_not(inside: bytes | None, outside: bytes | None) -> None:
    async with open_host(config(inside)) as host, open_host(config(outside)) as stranger:
        with pytest.raises(CannotConnect):  # over ws: tests/interop/test_private_helia.py
            await stranger.connect(host.addresses[0], deadline=20)
        assert host.peers() == []
        async with open_host(config(inside)) as friend:
            assert await friend.connect(host.addresses[0], deadline=20) == host.peer_id


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_who_answers_a_dial_with_garbage_is_given_up(answer: bytes) -> None:
    async def say(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(answer)
            if answer:
                await until_closed(stream)  # or, if it is not done with, for good

    serve = cast("Callable[..., Awaitable[None]]", partial(trio.serve_tcp, host="127.0.0.1"))
    ours = (config(KEY, handshake_time=timedelta(seconds=20)) for _ in range(2))
    async with open_host(next(ours)) as us, open_host(next(ours)) as friend, trio.open_nursery() as nursery:
        (listener,) = await nursery.start(serve, say, 0)
        port = listener.socket.getsockname()[1]
        for address in (f"/ip4/127.0.0.1/tcp/{port}", f"/ip4/127.0.0.1/tcp/{port}/ws"):
            with pytest.raises(CannotConnect):
                await us.connect(f"{address}/p2p/{friend.peer_id}", deadline=3)
        assert us.peers() == []
        assert await us.connect(friend.addresses[0], deadline=20) == friend.peer_id
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("address", ["/ip4/127.0.0.1/udp/0/webrtc-direct", "/ip4/127.0.0.1/udp/0/quic-v1"])
async def test_what_takes_no_key_is_not_listened_on(address: str) -> None:
    with pytest.raises(BadAddress, match="in a private network: no swarm key protects webrtc-direct or QUIC"):
        async with open_host(config(KEY, TCP, address)):
            pass


def test_the_key_is_in_no_print() -> None:
    assert "swarm_key" not in repr(config(KEY))


async def until_closed(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass
