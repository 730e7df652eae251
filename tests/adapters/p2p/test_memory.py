"""Bytes that strangers and peers make a host hold, over each wire of a worker; its peak memory is printed.

Over webrtc the same is in test_cure_webrtc_bounds.py and test_cure_webrtc_window.py.
"""

from __future__ import annotations

import gc
import resource
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
import trio
from libp2p.stream_muxer.yamux.yamux import DEFAULT_WINDOW_SIZE
from trio_websocket import WebSocketConnection

from pinning_worker.adapters.p2p.cures.streams import yamux_frames
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.host.protected_connection import xsalsa20
from pinning_worker.adapters.p2p.open_host import HostConfig, OpenHost, open_host
from tests.adapters.p2p.cure_rig import until
from tests.adapters.p2p.pourer import HELD, MIB, PIECE, Attacker, Victim

TCP, WS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"
KEY = secrets.token_bytes(32)
LINE = b"\x13/multistream/1.0.0\n"
PROMISE = b"\x80\x80\x80\x80\x04"  # 1 GiB
NONCE = bytes(24)
STRANGERS = 30
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PROMISES = {
    "tcp": (None, LINE + PROMISE),
    "ws": (None, b"\x82\xff" + (1 << 30).to_bytes(8, "big") + bytes(4) + LINE + PROMISE),
    "tcp in a private network": (KEY, NONCE + xsalsa20(KEY, NONCE).encrypt(LINE + PROMISE)),
    "tcp in a private network, without its key": (KEY, NONCE + LINE + PROMISE),
}


@asynccontextmanager
async def host_of(swarm_key: bytes | None, *listen: str) -> AsyncIterator[OpenHost]:
    """It waits longer for a handshake than this test does."""
    config = HostConfig(new_key(), listen or (TCP, WS), swarm_key=swarm_key, handshake_time=timedelta(seconds=60))
    async with open_host(config) as host:
        yield host


@pytest.mark.parametrize(("swarm_key", "promise"), PROMISES.values(), ids=PROMISES)
async def test_strangers_who_promise_a_gibibyte(swarm_key: bytes | None, promise: bytes) -> None:
    """And send 2 MiB of it. Over tcp they are hung up on; over ws the worker says goodbye, and waits for theirs."""
    before, over, said = _peak(), 0, 0
    is_websocket = promise.startswith(b"\x82")

    async def one(port: int) -> None:
        nonlocal over, said
        async with await trio.open_tcp_stream("127.0.0.1", port) as stranger:
            with suppress(trio.BrokenResourceError):
                if is_websocket:
                    await stranger.send_all(UPGRADE)
                    await stranger.receive_some()
                await stranger.send_all(promise + bytes(2 * MIB))
                said += 1
                while await stranger.receive_some():
                    pass
        over += 1

    async with host_of(swarm_key) as host, trio.open_nursery() as nursery:
        for _ in range(STRANGERS):
            nursery.start_soon(one, int(host.addresses[0].split("/")[4]))
        assert await until(lambda: (said if is_websocket else over) == STRANGERS, seconds=20)
        held = sum(sum(map(len, each._message_parts)) for each in _websockets())
        nursery.cancel_scope.cancel()
    print(f"{STRANGERS} strangers: {over} hung up on, peak memory + {(_peak() - before) // MIB} MiB")
    assert held <= STRANGERS * PIECE


@pytest.mark.parametrize("wire", [TCP, WS], ids=["tcp", "ws"])
@pytest.mark.parametrize("swarm_key", [None, KEY], ids=["open", "private"])
async def test_a_peer_who_sends_past_the_window(wire: str, swarm_key: bytes | None) -> None:
    before = _peak()
    async with host_of(swarm_key, wire) as host, host_of(swarm_key, TCP) as peer:
        victim = Victim(host.raw)
        await peer.connect(host.addresses[0], deadline=20)
        attacker = Attacker(peer.raw, victim)
        stream = await attacker.opens()
        assert str(HELD) in [str(each.get_protocol()) for each in victim.given]
        victim.came = victim.connections
        await attacker.pours(stream.stream_id, 32 * MIB)
        assert await victim.lost()
        assert yamux_frames.held_by_all() <= DEFAULT_WINDOW_SIZE
    print(f"32 MiB past the window: peak memory + {(_peak() - before) // MIB} MiB")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _websockets() -> list[WebSocketConnection]:
    return [each for each in gc.get_objects() if isinstance(each, WebSocketConnection)]
