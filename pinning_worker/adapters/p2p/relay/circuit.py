"""A circuit: bytes that come on one stream go out on the other, both ways, unread (they are encrypted end to end).

Rules: a piece is read when the peer has taken the one before it, so a slow reader slows its sender and costs no memory.
A circuit ends when both sides have, when one breaks, when nothing has moved for IDLE_SECONDS, when a piece is not taken
within STALL_SECONDS, or when it has carried its bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import trio
from libp2p.abc import INetStream
from libp2p.network.stream.net_stream import NetStream

from pinning_worker.adapters.p2p.relay.wire import ENDED, close, reset
from pinning_worker.ungroup import one_error

PIECE = 64 * 1024
IDLE_SECONDS = 600.0  # connections inside a circuit send a keepalive every 30 s or so
STALL_SECONDS = 60.0


async def carry(one: INetStream, other: INetStream, most_bytes: int, carried: Callable[[int], None]) -> None:
    """Returns when the circuit has ended, for whatever reason; then both streams are gone. `carried` gets the size of
    each piece."""
    meter = _Meter(most_bytes, carried)
    broken = True
    try:
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_pump, one, other, meter)
                nursery.start_soon(_pump, other, one, meter)
        broken = False
    except (*ENDED, trio.TooSlowError, _Spent):
        pass
    finally:
        if broken:
            await reset(one, other)
        else:
            await close(one)
            await close(other)


class _Spent(Exception):
    """The circuit has carried its bytes."""


class _Meter:
    def __init__(self, most: int, carried: Callable[[int], None]) -> None:
        self._left = most
        self._carried = carried

    def count(self, amount: int) -> None:
        if amount > self._left:
            raise _Spent
        self._left -= amount
        self._carried(amount)


async def _pump(source: INetStream, sink: INetStream, meter: _Meter) -> None:
    while piece := await _read(source):
        meter.count(len(piece))
        with trio.fail_after(STALL_SECONDS):
            await sink.write(piece)
    with trio.fail_after(STALL_SECONDS):
        await cast("NetStream", sink).close_write()


async def _read(source: INetStream) -> bytes:
    """Some bytes; b"" at the end."""
    try:
        with trio.fail_after(IDLE_SECONDS):
            return await source.read(PIECE)
    except EOFError:  # py-libp2p's StreamEOF is one
        return b""
