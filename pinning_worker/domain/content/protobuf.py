"""Protocol Buffers by hand: just enough to cut dag-pb, UnixFS and bitswap messages into their fields.

The generated classes copy every payload several times, and a block is 256 KiB to 1 MiB. Here a length-delimited field
is a window (`memoryview`) into the message. Spec: https://protobuf.dev/programming-guides/encoding.

Rules: nothing is read past the end; groups (wire types 3 and 4) and field number 0 are malformed; a varint is at
most 10 bytes and is cut to 64 bits, as every other reader does.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5

Value = int | memoryview
_WIDTH = {FIXED64: 8, FIXED32: 4}


class BadProtobuf(ValueError):
    """Bytes that are not a Protocol Buffers message."""


def fields(message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """(field number, wire type, value) in order of appearance: an int for varints, a window for everything else.

    Raises BadProtobuf at the first malformed byte, perhaps after it has yielded some fields.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = varint(message, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise BadProtobuf("field number 0 does not exist")
        if wire == VARINT:
            value, at = varint(message, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, at = varint(message, at)
        elif wire in _WIDTH:
            length = _WIDTH[wire]
        else:
            raise BadProtobuf(f"wire type {wire} is not read")
        if length > end - at:
            raise BadProtobuf("a field reaches past the end of its message")
        yield number, wire, message[at : at + length]
        at += length


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """(number of at most 64 bits, next position). Raises BadProtobuf if it is cut off or longer than 10 bytes."""
    number = shift = 0
    for index in range(at, min(at + 10, len(message))):
        byte = message[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, index + 1
        shift += 7
    raise BadProtobuf("a varint is cut off or too long")


def window(value: Value) -> memoryview:
    """The bytes of a length-delimited field. Raises BadProtobuf if the field is a number."""
    if isinstance(value, int):
        raise BadProtobuf("a number stands where bytes belong")
    return value


def number(value: Value) -> int:
    """The number of a varint field. Raises BadProtobuf if the field is bytes."""
    if not isinstance(value, int):
        raise BadProtobuf("bytes stand where a number belongs")
    return value
