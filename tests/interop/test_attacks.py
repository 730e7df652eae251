"""The attack list against a worker process with its default limits (siege.py says what it has to withstand).

In a private network: test_private_attacks.py. By those who are its relays: test_relay_attacks.py.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.adapters.p2p.datagrams import CLIENT_HELLO, first_datagram, garbage, socket_at
from tests.interop import siege as every_siege
from tests.interop.attacker import FLOOD, FORGED
from tests.interop.node_binary import needs_node
from tests.interop.siege import MIB, MULTISTREAM, NOISE, PAUSE, SOURCES, UPGRADE, Siege, say, until_closed
from tests.interop.worker import free_port

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")
pytestmark = [pytest.mark.interop, needs_node]

CHURN, ROUND = 1_200, 20
BEGINNINGS, GARBAGE = 400, 3_000
LARGE_AT_ONCE, LARGE_PER_SECOND = 10, 1  # of 1 MiB: a connection's share of what is taken and forwarded
UNCHECKED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNCHECKED.check_hostname, UNCHECKED.verify_mode = False, ssl.CERT_NONE
ON_THE_PORT = (
    b"",
    b"\x13/",
    b"GET / HTTP/1.1\r\nHost:",
    UPGRADE,
    UPGRADE + b"\x82\x14" + MULTISTREAM + NOISE(500),
    UPGRADE + NOISE(2_000),
    b"\x16\x03\x01\x02\x00" + NOISE(600),
    MULTISTREAM,
    MULTISTREAM + b"\x07/noise\n",
    MULTISTREAM + b"\x07/noise\n" + b"\x00\x20" + NOISE(32) + NOISE(300),
    NOISE(5_000),
)


def besieged(folder: Path) -> AbstractAsyncContextManager[Siege]:
    """All transports, webrtc-direct too."""
    return every_siege.besieged(folder, f"/ip4/127.0.0.1/udp/{free_port()}/webrtc-direct")


async def test_on_every_listener(tmp_path: Path) -> None:
    async with besieged(tmp_path) as siege:
        webrtc = siege.worker.address("/webrtc-direct/")
        await siege.withstands("garbage", partial(siege.garbage, ON_THE_PORT))
        silent = (partial(siege.silence, hello) for hello in (say(MULTISTREAM), say(UPGRADE), _shake_hands))
        await siege.withstands("silent", *silent, partial(siege.newcomer, siege.worker.tcp_addr))
        await siege.withstands("webrtc", partial(_half_open_webrtc, siege), partial(siege.newcomer, webrtc))
        await siege.withstands("webrtc again", partial(_half_open_webrtc, siege))
        await siege.withstands("churn", partial(_churn, siege))
        for address in (siege.worker.ws_addr, siege.worker.address("/tls/ws/"), webrtc):
            await siege.newcomer(address)


async def _shake_hands(stream: trio.SocketStream, number: int) -> None:
    """By turns: half a hello of TLS, TLS and no more, TLS and half of what asks for a websocket."""
    if number % 3 == 0:
        return await stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + NOISE(100))
    tls = trio.SSLStream(stream, UNCHECKED)
    await tls.do_handshake()
    await tls.send_all(b"" if number % 3 == 1 else UPGRADE[:40])


async def _half_open_webrtc(siege: Siege) -> None:
    """Garbage of all kinds, and first datagrams from whoever will never finish, half of them with a hello of DTLS."""
    dice, worker = random.Random(12), ("127.0.0.1", int(siege.worker.address("/webrtc-direct/").split("/")[4]))
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket_at(ip)) for ip in SOURCES for _ in range(20)]
        for number in range(max(BEGINNINGS, GARBAGE)):
            opened = sockets[number % len(sockets)]
            with suppress(BlockingIOError):
                opened.sendto(garbage(dice), worker)
                if number % (GARBAGE // BEGINNINGS) == 0:
                    opened.sendto(first_datagram(), worker)
                    opened.sendto(CLIENT_HELLO if number % 2 else b"\x16", worker)
            await trio.sleep(0.004)


async def _churn(siege: Siege) -> None:
    for number in range(CHURN):
        if number % ROUND == 0:
            await trio.sleep(PAUSE / 2)
        with suppress(OSError, trio.BrokenResourceError):
            async with await siege.socket(number) as stream:
                await stream.send_all(ON_THE_PORT[number % len(ON_THE_PORT)])


async def test_from_one_address_come_only_so_many(tmp_path: Path) -> None:
    async with besieged(tmp_path) as siege, AsyncExitStack() as stack:
        with trio.fail_after(9):  # the handshake's time is ten: it is not that which closes it
            streams = [
                await stack.enter_async_context(
                    await trio.open_tcp_stream("127.0.0.1", siege.port, local_address=SOURCES[0])
                )
                for _ in range(33)
            ]
            await until_closed(streams[0])
        await siege.ask()


async def test_by_a_peer(tmp_path: Path) -> None:
    said: dict[str, dict[str, int]] = {}

    async with besieged(tmp_path) as siege:

        def peer(name: str) -> Callable[[], Awaitable[None]]:
            async def attack() -> None:
                said[name] = await siege.peer(name, SOURCES[len(said)])

            return attack

        for names in (("flood",), ("forged", "malformed"), ("resets", "hoarding")):
            await siege.withstands(" and ".join(names), *map(peer, names))
        began = trio.current_time()
        await siege.withstands("large", peer("large"))
        handed_on = [len(heard.text) for heard in siege.honest.transcript if len(heard.text) > MIB // 2]
        assert len(handed_on) <= LARGE_AT_ONCE + LARGE_PER_SECOND * (trio.current_time() - began)
        assert not [size for size in handed_on if size > MIB], "more than 1 MiB"
    assert not said["flood"]["connected"], "a flooder is hung up on"
    assert said["flood"]["sent"] < FLOOD
    assert not said["forged"]["connected"], "so is a forger"
    assert said["forged"]["sent"] < FORGED
    assert said["malformed"]["left"] == 0, "all was thrown"
    assert said["malformed"]["missed"] == 0, "at every protocol"
