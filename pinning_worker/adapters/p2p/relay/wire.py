"""HOP and STOP: one protobuf each way behind its length, then, on the same stream, the circuit's own bytes.

Reading never takes a byte beyond the message: the peer may send the circuit's bytes at once. `Gone` covers every end of
a stream.
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
LARGEST = 4096  # as go-libp2p
TALK_SECONDS = 15.0
CLOSE_SECONDS = 2.0

ENDED = (BaseLibp2pError, OSError, EOFError, trio.BrokenResourceError, trio.ClosedResourceError)
"""The exceptions of py-libp2p when a stream or its connection has ended."""

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
    """The stream or its connection ended, the peer was too slow, or its bytes are no message."""


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
    """The limit that the relay sets for a circuit; None: it sets none."""
    limit = message.limit
    return limit if limit.duration or limit.data else None


def in_words(status: int) -> str:
    """A refusal, for people: its meaning, and its name in the specification."""
    if status not in _MEANING:
        return f"it refused with a status nobody knows ({status})"
    known = cast("Status.ValueType", status)
    return f"{_MEANING[known]} ({Status.Name(known)})"


async def open_stream(connection: SwarmConn, protocol: TProtocol) -> INetStream:
    """Opens a stream on exactly that connection: `host.new_stream` would take any. Raises Gone, also if it does not
    speak the protocol."""
    with talking():
        stream = await connection.new_stream()
        try:
            talk = MultiselectCommunicator(stream)
            stream.set_protocol(await MultiselectClient().select_one_of([protocol], talk, int(TALK_SECONDS)))
        except BaseException:  # a cancellation too: no other code knows this stream
            await reset(stream)
            raise
        return stream


async def reset(*streams: INetStream) -> None:
    """Ends streams whatever state they are in, also while the task is being cancelled."""
    for stream in streams:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS), suppress(*ENDED):
            await stream.reset()


async def close(stream: INetStream) -> None:
    """Closes the stream after the last message; bytes already written still arrive."""
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
