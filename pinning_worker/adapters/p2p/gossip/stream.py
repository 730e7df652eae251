"""The streams on which peers gossip to us: one frame after the other, each parsed, and read no faster than we can bear.

Rules: a peer may be silent between two frames for as long as it likes, and takes at most frames.FRAME seconds for one;
the bytes of frames that have not ended are bounded (bounds/unfinished.py); a peer that sends more frames or bytes than
its budget is read more slowly (bounds/gossip_budget.py).

A frame of 1 MiB can hold half a million entries of two bytes: parsing it takes 45 ms and 36 MiB. So of the frames that
are not SMALL one is dealt with at a time, whatever peers sent them, and all other tasks have a turn in between.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
import trio
from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.pubsub.pb import rpc_pb2

from pinning_worker.adapters.p2p.bounds.flood_guard import FloodGuard
from pinning_worker.adapters.p2p.bounds.unfinished import Reading, Unfinished
from pinning_worker.adapters.p2p.frames import BadFrame, FrameReader, StreamGone

LARGEST_RPC = 1024 * 1024  # as much as other implementations take
SMALL = 4 * 1024

_log = structlog.get_logger(__name__)

Take = Callable[[rpc_pb2.RPC], Awaitable[None]]


class Ears:
    """All streams of one host on which peers gossip. `address_under(connection)`: whereabouts.py."""

    def __init__(self, guard: FloodGuard, address_under: Callable[[Any], str]) -> None:
        self.unfinished = Unfinished()
        self._guard = guard
        self._address_under = address_under
        self._large = trio.Lock()

    async def listen(self, stream: INetStream, take: Take) -> bool:
        """Hands over each frame, until the stream ends. False: it cannot be read any further."""
        peer = stream.muxed_conn.peer_id.to_bytes()
        scope = trio.CancelScope()
        reading = Reading(peer, self._address_under(stream.muxed_conn) or None, scope.cancel)
        reader = FrameReader(
            stream,
            lambda: LARGEST_RPC,
            silence=math.inf,
            held=lambda size: self.unfinished.holds(reading, size),
            address=reading.address or "",
        )
        self.unfinished.begin(reading)
        try:
            with scope:
                while (frame := await reader.next()) is not None:
                    size = len(frame)
                    self.unfinished.holds(reading, size)
                    async with self._turn(size):
                        await take(rpc_pb2.RPC.FromString(bytes(frame)))
                    del frame
                    self.unfinished.holds(reading, 0)
                    await self._pace(peer, size)
                return True
        except (StreamGone, BadFrame, DecodeError) as error:
            _log.debug("gossip.stream_ended", peer=str(stream.muxed_conn.peer_id), error=repr(error))
            return False
        finally:
            self.unfinished.end(reading)
        _log.debug("gossip.stream_given_up", peer=str(stream.muxed_conn.peer_id))
        return False

    @asynccontextmanager
    async def _turn(self, size: int) -> AsyncIterator[None]:
        if size <= SMALL:
            yield
            return
        async with self._large:
            yield
            await trio.lowlevel.checkpoint()

    async def _pace(self, peer: bytes, size: int) -> None:
        now = trio.current_time()
        await trio.sleep(self._guard.budget(peer, now).read(size, now))
