"""The websocket cure: a message may be of any size, is read as it comes, and costs next to nothing."""

from __future__ import annotations

import gc
from contextlib import suppress

import trio
from libp2p.host.basic_host import BasicHost
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket

from pinning_worker.adapters.p2p.cures.ports import ws_frames
from pinning_worker.adapters.p2p.cures.process import crash
from tests.adapters.p2p.cure_rig import bare_host, outcome, play

MIB = 1024 * 1024
TOO_LARGE = 1009  # RFC 6455, 7.4.1
WS = "/ip4/127.0.0.1/tcp/0/ws"
LINES = b"\x13/multistream/1.0.0\n" + b"\x07/noise\n"
MESSAGE = LINES + b"\xff\xff" + bytes(2 * MIB)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BEGINS = b"\x02"  # a binary message; more of it will follow
GOES_ON = b"\x00"


async def two_mebibytes() -> str:
    """The listener gets to see all of it: it answers the first lines, and closes over the garbage after them."""
    async with bare_host(WS) as host:
        try:
            async with open_websocket("127.0.0.1", _port(host), "/", use_ssl=False) as connection:
                await connection.send_message(MESSAGE)
                answer = b""
                with trio.fail_after(30):
                    while b"/noise" not in answer:
                        said = await connection.get_message()
                        assert isinstance(said, bytes)
                        answer += said
        except ConnectionClosed as closed:
            return f"closed with {closed.reason and closed.reason.code}"
    return "read"


async def a_message_without_end() -> str:
    """16 MiB of one message that never ends, to a port that is shared with tcp, by somebody nobody knows."""
    async with (
        bare_host("/ip4/127.0.0.1/tcp/0", WS) as host,
        await trio.open_tcp_stream("127.0.0.1", _port(host)) as stranger,
    ):
        await stranger.send_all(UPGRADE)
        await stranger.receive_some()
        with trio.move_on_after(2), suppress(trio.BrokenResourceError):
            await stranger.send_all(_frame(BEGINS, LINES) + _frame(GOES_ON, b"\xff\xff"))
            for _ in range(16):
                await stranger.send_all(_frame(GOES_ON, bytes(MIB)))
        held = sum(_held(each) for each in gc.get_objects() if isinstance(each, WebSocketConnection))
    return f"at most two pieces: {held <= 2 * ws_frames.PIECE + 4096}"


async def empty_frames() -> str:
    return await _many(b"")


async def tiny_frames() -> str:
    return await _many(b"x")


async def _many(data: bytes) -> str:
    async with (
        bare_host("/ip4/127.0.0.1/tcp/0", WS) as host,
        await trio.open_tcp_stream("127.0.0.1", _port(host)) as stranger,
    ):
        await stranger.send_all(UPGRADE)
        await stranger.receive_some()
        await stranger.send_all(_frame(BEGINS, data) + _frame(GOES_ON, data) * 2000)
        await trio.sleep(0.5)
        parts = max(len(each._message_parts) for each in gc.get_objects() if isinstance(each, WebSocketConnection))
    return f"few kept: {parts <= 1}"


def _frame(kind: bytes, data: bytes) -> bytes:
    """Masked with zeros, as clients must mask."""
    return (
        kind + b"\xff" + len(data).to_bytes(8, "big") + bytes(4) + data
        if len(data) > 125
        else (kind + bytes([0x80 | len(data)]) + bytes(4) + data)
    )


def _held(connection: WebSocketConnection) -> int:
    waiting = connection._recv_channel._state.data  # type: ignore[attr-defined]  # trio keeps it to itself
    return sum(map(len, connection._message_parts)) + sum(map(len, waiting))


def _port(host: BasicHost) -> int:
    return int(host.get_transport_addrs()[0].value_for_protocol("tcp"))


def test_it_is_read() -> None:
    assert outcome(two_mebibytes, stock=False) == "read"


def test_the_stock_library_refuses_its_size() -> None:
    assert outcome(two_mebibytes, stock=True) == f"closed with {TOO_LARGE}"


def test_one_without_end_is_not_kept() -> None:
    assert outcome(a_message_without_end, stock=False) == "at most two pieces: True"


def test_the_stock_library_keeps_it() -> None:
    assert outcome(a_message_without_end, stock=True) == "at most two pieces: False"


def test_empty_frames_are_not_kept() -> None:
    assert outcome(empty_frames, stock=False) == "few kept: True"


def test_tiny_frames_are_kept_in_one_piece() -> None:
    assert outcome(tiny_frames, stock=False) == "few kept: True"


def test_the_stock_library_keeps_them() -> None:
    assert outcome(empty_frames, stock=True) == "few kept: False"


if __name__ == "__main__":
    play(globals(), crash, ws_frames)
