"""HOP and STOP: one protobuf each way behind its length, then, on the same stream, the circuit's own bytes.

Never a byte more is read than the message has: the peer may speak on at once. `Gone` is whatever ends a stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

import trio
from google.protobuf.message import DecodeError, Message
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Limit, PeerId, Reservation, Status, StopMessage

from pinning_worker.domain.content.cid import encode_varint

HOP = TProtocol("/libp2p/circuit/relay/0.2.0/hop")
STOP = TProtocol("/libp2p/circuit/relay/0.2.0/stop")
LARGEST = 4096  # what go-libp2p takes
TALK_SECONDS = 15.0
CLOSE_SECONDS = 2.0

ENDED = (BaseLibp2pError, OSError, EOFError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What py-libp2p raises when a stream or its connection has ended."""

_MEANING = {
    Status.OK: "it said yes to something else",
    Status.RESERVATION_REFUSED: "it gives no place",
    Status.RESOURCE_LIMIT_EXCEEDED: "it has no room left",
    Status.PERMISSION_DENIED: "it does not let us",
    Status.CONNECTION_FAILED: "it could not bring us to that peer",
    Status.NO_RESERVATION: "that peer has no place there",
    Status.MALFORMED_MESSAGE: "it could not read our message",
    Status.UNEXPECTED_MESSAGE: "it did not expect our message",
}

Kind = TypeVar("Kind", HopMessage, StopMessage)


class Gone(Exception):
    """The stream or its connection ended, the peer was too slow, or what it sent is no message."""


async def read_message(stream: INetStream, kind: type[Kind]) -> Kind:
    """One message, within TALK_SECONDS. Raises Gone."""
    with talking():
        length = await _length(stream)
        if length > LARGEST:
            raise Gone(f"a message of {length} bytes")
        message = kind()
        message.ParseFromString(await _exactly(stream, length))
        return message


async def write_message(stream: INetStream, message: Message) -> None:
    """Within TALK_SECONDS. Raises Gone."""
    data = message.SerializeToString()
    with talking():
        await stream.write(encode_varint(len(data)) + data)


async def ask(connection: SwarmConn, protocol: TProtocol, request: Kind) -> tuple[INetStream, Kind]:
    """The answer, and the stream on which it came. Raises Gone; the stream is then reset, as when cancelled."""
    stream = await open_stream(connection, protocol)
    try:
        await write_message(stream, request)
        return stream, await read_message(stream, type(request))
    except BaseException:
        await reset(stream)
        raise


def limit_of(message: HopMessage | StopMessage) -> Limit | None:
    """What the relay lets a circuit carry; None: whatever comes."""
    limit = message.limit
    return limit if limit.duration or limit.data else None


def in_words(status: int) -> str:
    """A refusal, for people: what it means, and its name in the specification."""
    if status not in _MEANING:
        return f"it refused with a status nobody knows ({status})"
    known = cast("Status.ValueType", status)
    return f"{_MEANING[known]} ({Status.Name(known)})"


async def open_stream(connection: SwarmConn, protocol: TProtocol) -> INetStream:
    """On exactly that connection: `host.new_stream` would take any. Raises Gone, also if it is not spoken there."""
    with talking():
        stream = await connection.new_stream()
        try:
            talk = MultiselectCommunicator(stream)
            stream.set_protocol(await MultiselectClient().select_one_of([protocol], talk, int(TALK_SECONDS)))
        except BaseException:  # a cancellation too: nobody else knows this stream
            await reset(stream)
            raise
        return stream


async def reset(*streams: INetStream) -> None:
    """Ends streams whatever state they are in, also while the task is being cancelled."""
    for stream in streams:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS), suppress(*ENDED):
            await stream.reset()


async def close(stream: INetStream) -> None:
    """Closes it after the last message; what was written still arrives."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS), suppress(*ENDED):
        await stream.close()


@contextmanager
def talking() -> Iterator[None]:
    try:
        with trio.fail_after(TALK_SECONDS):
            yield
    except trio.TooSlowError as error:
        raise Gone(f"silent for {TALK_SECONDS:.0f} s") from error
    except (*ENDED, DecodeError) as error:
        raise Gone(f"{type(error).__name__}: {error}") from error


async def _length(stream: INetStream) -> int:
    length = 0
    for shift in (0, 7):
        (byte,) = await _exactly(stream, 1)
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length
    raise Gone("a length of more than two bytes")


async def _exactly(stream: INetStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.read(count - len(data))
        if not more:
            raise Gone("the stream ended inside a message")
        data += more
    return data


__all__ = [
    "HOP",
    "STOP",
    "Gone",
    "HopMessage",
    "Limit",
    "PeerId",
    "Reservation",
    "Status",
    "StopMessage",
    "ask",
    "close",
    "in_words",
    "limit_of",
    "open_stream",
    "read_message",
    "reset",
    "talking",
    "write_message",
]
