"""One peer that speaks webrtc must not make us hold unlimited memory.

The fault: memory grows for as long as a peer that is connected (or half connected) sends messages on the channel of the
handshake, which nobody reads any more; fragments of a message that never ends; datagrams before the handshake; checks
from ever new ports; or asks for blocks and reads none. Why: aiortc's and the library's queues have no size, the window
that aiortc grants is not enforced, and a write returns before anything is sent. Where: `make_noise_channel_callbacks`,
`RTCSctpTransport._receive_data_chunk`, aioice's `Connection.data_received` and `.check_incoming`, and
`_send_on_channel`, which `wire_pc_to_connection` makes.

The cure: each has a bound. Excess is dropped, as UDP may drop it; a peer that ignores its window is disconnected; a
writer waits while MOST_UNSENT bytes of its connection wait to be sent, and gives up when PATIENCE_SECONDS bring no
change. A peer's faults are not logged line by line.

Upstream: not reported.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aioice.ice import Connection as IceConnection
from aiortc.rtcsctptransport import RTCSctpTransport, tsn_plus_one
from libp2p.transport.webrtc import _aiortc_helpers
from libp2p.transport.webrtc.connection import WebRTCConnection
from libp2p.transport.webrtc.exceptions import WebRTCStreamError

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.cures.webrtc import close

MOST_HANDSHAKE_MESSAGES = 16
MOST_CHUNKS = 2_048  # a window of 1 MiB is 900 of them as browsers cut it
OVERDRAFT = 64 * 1024
MOST_DATAGRAMS = 1_024
MOST_CANDIDATES = 32  # addresses that one dialler checks from; a browser has a handful
MOST_UNSENT = 1024 * 1024
MOST_UNSENT_MESSAGES = 1_024
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.005
NOISY = ("aiortc", "aioice", "asyncio")

Send = Callable[[int, bytes], Awaitable[None]]

AFTER = (close,)  # both wire a new connection: pacing wraps the send that is left by then


def mend() -> None:
    replace(_aiortc_helpers, "make_noise_channel_callbacks", _few_handshake_messages)
    replace(_aiortc_helpers, "wire_pc_to_connection", _wait_to_send)
    replace(RTCSctpTransport, "_receive_data_chunk", _few_chunks)
    replace(RTCSctpTransport, "_receive_forward_tsn_chunk", _count_again)
    replace(IceConnection, "data_received", _few_datagrams)
    replace(IceConnection, "check_incoming", _few_candidates)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Bounded(asyncio.Queue[bytes]):
    """A full queue drops the newcomer."""

    def put_nowait(self, item: bytes) -> None:
        if not self.full():
            super().put_nowait(item)


def _few_handshake_messages(stock: Callable[[Any], tuple[Any, Any, asyncio.Queue[bytes]]]) -> Callable[[Any], Any]:
    def mended(channel: Any) -> tuple[Any, Any, asyncio.Queue[bytes]]:
        send, _, _ = stock(channel)
        channel.remove_all_listeners("message")
        queue = _Bounded(MOST_HANDSHAKE_MESSAGES)
        channel.on("message", lambda data: queue.put_nowait(data if isinstance(data, bytes) else data.encode()))
        return send, queue.get, queue

    return mended


def _few_chunks(stock: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any, Any], Awaitable[None]]:
    async def mended(self: RTCSctpTransport, chunk: Any) -> None:
        held: int = self.__dict__.get("_chunks_held", 0)
        room = self._advertised_rwnd - len(chunk.user_data)
        if room < 0 or held >= MOST_CHUNKS:
            self._sack_needed = True
            last = self._last_received_tsn
            if last is None or chunk.tsn != tsn_plus_one(last):
                return  # it will come again; taken is only the chunk that all the others wait for
            if room < -OVERDRAFT or held >= 2 * MOST_CHUNKS:
                raise ConnectionError("more than the window that it was given")  # aiortc closes the connection then
        stream = self._get_inbound_stream(chunk.stream_id)
        before = len(stream.reassembly)
        await stock(self, chunk)
        self.__dict__["_chunks_held"] = held + len(stream.reassembly) - before

    return mended


def _count_again(stock: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any, Any], Awaitable[None]]:
    async def mended(self: RTCSctpTransport, chunk: Any) -> None:
        await stock(self, chunk)
        self.__dict__["_chunks_held"] = sum(len(each.reassembly) for each in self._inbound_streams.values())

    return mended


def _few_datagrams(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: IceConnection, data: bytes | None, component: int | None) -> None:
        if data is None or self._queue.qsize() < MOST_DATAGRAMS:  # None: the connection is lost
            stock(self, data, component)

    return mended


def _few_candidates(stock: Callable[..., None]) -> Callable[..., None]:
    def mended(self: IceConnection, message: Any, addr: tuple[str, int], protocol: Any) -> None:
        known = self._remote_candidates
        if len(known) < MOST_CANDIDATES or any((each.host, each.port) == addr for each in known):
            stock(self, message, addr, protocol)

    return mended


def _wait_to_send(stock: Callable[[Any, WebRTCConnection], None]) -> Callable[[Any, WebRTCConnection], None]:
    def mended(pc: Any, connection: WebRTCConnection) -> None:
        stock(pc, connection)
        connection._send_on_channel_cb = _patient(pc.sctp, connection._send_on_channel_cb)

    return mended


def _patient(sctp: Any, send: Send) -> Send:
    async def mended(channel_id: int, data: bytes) -> None:
        if len(sctp._data_channel_queue) >= MOST_UNSENT_MESSAGES:  # messages for which no writer waits: closes
            raise WebRTCStreamError("the reader takes nothing")
        await send(channel_id, data)
        loop = asyncio.get_running_loop()
        unsent, deadline = _unsent(sctp), loop.time() + PATIENCE_SECONDS
        while unsent > MOST_UNSENT:
            await asyncio.sleep(LOOK_SECONDS)
            now = _unsent(sctp)
            if now < unsent:
                deadline = loop.time() + PATIENCE_SECONDS
            elif loop.time() > deadline:
                raise WebRTCStreamError(f"the reader has taken nothing for {PATIENCE_SECONDS:.0f} s")
            unsent = now

    return mended


def _unsent(sctp: Any) -> int:
    """Bytes that wait in all channels; 0 for a connection that has ended."""
    if sctp.transport.state != "connected":
        return 0
    return sum(channel.bufferedAmount for channel in sctp._data_channels.values() if channel.readyState == "open")
