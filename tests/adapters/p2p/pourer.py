"""A host whose streams nobody reads, and who pours into them by hand: yamux frames past every window."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT

from tests.adapters.p2p.cure_rig import until

MIB = 1024 * 1024
PIECE = 64 * 1024
HELD, ECHO = TProtocol("/held/1"), TProtocol("/echo/1")
GONE = (BaseLibp2pError, OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class Victim:
    """A host of which one protocol reads nothing, and one says back what it hears."""

    def __init__(self, host: BasicHost) -> None:
        self.host = host
        self.given: list[INetStream] = []
        self.came: list[Any] = []
        host.set_stream_handler(HELD, self._hold)
        host.set_stream_handler(ECHO, _echo)

    async def _hold(self, stream: INetStream) -> None:
        self.given.append(stream)
        await trio.sleep_forever()

    @property
    def connections(self) -> list[Any]:
        return [cast("Any", each).muxed_conn for each in self.host.get_network().get_connections()]

    async def lost(self) -> bool:
        """The first connection; its peer may have come again since."""
        return await until(lambda: bool(self.came[0].is_closed), seconds=2)

    @property
    def unread(self) -> int:
        return sum(len(each) for connection in self.connections for each in connection.stream_buffers.values())

    @property
    def streams(self) -> int:
        return sum(len(connection.streams) for connection in self.connections)


class Attacker:
    def __init__(self, host: BasicHost, victim: Victim) -> None:
        self.host, self.victim = host, victim
        self.muxed: Any = cast("Any", host.get_network().get_connections()[0]).muxed_conn

    async def opens(self) -> Any:
        stream = await self.host.new_stream(self.victim.host.get_id(), [HELD])
        return cast("Any", stream).muxed_stream

    async def sends(self, kind: int, flags: int, number: int, length: int, data: bytes = b"") -> None:
        with suppress(*GONE):
            await self.muxed.secured_conn.write(struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, number, length) + data)

    async def sends_many(self, kind: int, flags: int, number: int, length: int, *, times: int) -> None:
        """Frames without data, in one message."""
        with suppress(*GONE):
            await self.muxed.secured_conn.write(
                struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, number, length) * times
            )

    async def pours(self, number: int, count: int) -> None:
        """So many bytes into a stream, whatever its window."""
        while count:
            size = min(count, PIECE)
            await self.sends(TYPE_DATA, 0, number, size, bytes(size))
            count -= size

    async def fills(self, stream: Any) -> None:
        """Its window, to the last byte."""
        await self.pours(stream.stream_id, stream.send_window)

    async def was_heard(self) -> None:
        """Everything sent before has been taken: frames are, in their order. Or the connection is over."""
        with suppress(*GONE), trio.move_on_after(5):
            stream = await self.host.new_stream(self.victim.host.get_id(), [ECHO])
            await stream.write(b"?")
            await stream.read(1)
            await stream.close()

    async def lives(self) -> bool:
        return await speaks(self.host, self.victim)


async def speaks(host: BasicHost, victim: Victim) -> bool:
    with suppress(*GONE), trio.move_on_after(10):
        stream = await host.new_stream(victim.host.get_id(), [ECHO])
        await stream.write(b"there?")
        answer = await stream.read(6)
        await stream.reset()
        return answer == b"there?"
    return False


async def _echo(stream: INetStream) -> None:
    with suppress(*GONE, EOFError):
        while data := await stream.read(PIECE):
            await stream.write(data)
        await stream.close()


def most(held: int, bound: int) -> str:
    return f"at most {bound // 1024} KiB" if held <= bound else f"{held // 1024} KiB"
