"""The bitswap message: Protocol Buffers to dataclasses and back, without copying payloads on the way in.

    Message   { 1: Wantlist; 2: bytes blocks (1.0.0); 3: Block payload; 4: BlockPresence; 5: int32 pendingBytes }
    Wantlist  { 1: Entry entries; 2: bool full }
    Entry     { 1: bytes block (a CID); 2: int32 priority; 3: bool cancel; 4: WantType; 5: bool sendDontHave }
    Block     { 1: bytes prefix (CID without its digest); 2: bytes data }
    BlockPresence { 1: bytes cid; 2: 0 HAVE, 1 DONT_HAVE }

Rules: unknown fields are skipped, as Protocol Buffers require; a message with more entries than MOST_ENTRIES, or more
fields than they need, or anything malformed is a BadMessage as a whole. An entry whose CID is longer than LONGEST_CID
is counted as `odd` and left out: no block of ours has such a name, and the entries beside it may be good ones. Blocks
of 1.0.0 (no prefix) are CIDv0's by definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

from pinning_worker.domain.content.cid import CidBytes, encode_varint
from pinning_worker.domain.content.protobuf import BadProtobuf, Value, fields, number, window

MOST_ENTRIES = 8192  # wants, presences and blocks together: peers send 1024 wants at most
MOST_FIELDS = 8 * MOST_ENTRIES  # of all levels together: an entry has five
LONGEST_CID = 160  # a digest of 128 bytes, the longest that multiformats allow for, and four varints
CIDV0_PREFIX = b"\x00\x70\x12\x20"

_DONT_HAVE = 1
_Entry = TypeVar("_Entry", "Want", "Block", "Presence")


class BadMessage(ValueError):
    """Bytes that are not a bitswap message, or one beyond all measure."""


class ManyFields(BadMessage):
    """More fields than the reader wants to look at."""


class WantType(IntEnum):
    BLOCK = 0
    HAVE = 1


@dataclass(frozen=True, slots=True)
class Want:
    """An entry of a wantlist. `cid` is binary, in the version that the entry uses."""

    cid: CidBytes
    kind: WantType = WantType.BLOCK
    cancel: bool = False
    send_dont_have: bool = False
    priority: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """`data` is a window into the received message: copy it before keeping it."""

    prefix: bytes
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Presence:
    cid: CidBytes
    have: bool


@dataclass(slots=True)
class Message:
    """`odd`: the number of entries that were left out."""

    wants: list[Want] = field(default_factory=list)
    full: bool = False
    blocks: list[Block] = field(default_factory=list)
    presences: list[Presence] = field(default_factory=list)
    odd: int = 0

    def __bool__(self) -> bool:
        return bool(self.wants or self.full or self.blocks or self.presences)


def decode(frame: bytes | memoryview, most_fields: int = MOST_FIELDS) -> Message:
    """Raises BadMessage, ManyFields."""
    message, counted = Message(), _Counted(most_fields)
    try:
        for tag, value in counted.fields(memoryview(frame)):
            if tag == 1:
                _read_wantlist(counted, window(value), message)
            elif tag == 2:
                message.blocks.append(Block(CIDV0_PREFIX, window(value)))
            elif tag == 3:
                _keep(message, message.blocks, _read_block(counted, window(value)))
            elif tag == 4:
                _keep(message, message.presences, _read_presence(counted, window(value)))
            if len(message.blocks) + len(message.presences) + message.odd > MOST_ENTRIES:
                raise BadMessage(f"more than {MOST_ENTRIES} entries")
    except BadProtobuf as error:
        raise BadMessage(str(error)) from error
    return message


def encode(message: Message) -> bytes:
    """The message without its length. The data of each block is copied once, into the result."""
    parts: list[bytes | memoryview] = []
    if message.wants or message.full:
        wantlist = b"".join(_field(1, _entry(want)) for want in message.wants) + (b"\x10\x01" if message.full else b"")
        parts.append(_field(1, wantlist))
    for block in message.blocks:
        head = _field(1, block.prefix) + b"\x12" + encode_varint(len(block.data))
        parts += (b"\x1a", encode_varint(len(head) + len(block.data)), head, block.data)
    parts += (
        _field(4, _field(1, presence.cid) + b"\x10" + bytes([not presence.have])) for presence in message.presences
    )
    return b"".join(parts)


def prefix_of(cid: CidBytes) -> bytes:
    """version, codec, hash, length: a CID without its digest of 32 bytes, version 0 written out."""
    return CIDV0_PREFIX if len(cid) == 34 and cid[:2] == b"\x12\x20" else cid[:-32]


class _Counted:
    """The fields of one message, however deeply nested: millions of them fit a frame, and take seconds."""

    def __init__(self, most: int) -> None:
        self._left = self._most = most

    def fields(self, part: memoryview) -> Iterator[tuple[int, Value]]:
        """(field number, value), as `protobuf.fields`."""
        for tag, _, value in fields(part):
            self._left -= 1
            if self._left < 0:
                raise ManyFields(f"more than {self._most} fields")
            yield tag, value


def _read_wantlist(counted: _Counted, wantlist: memoryview, message: Message) -> None:
    for tag, value in counted.fields(wantlist):
        if tag == 1:
            _keep(message, message.wants, _read_entry(counted, window(value)))
            if len(message.wants) + message.odd > MOST_ENTRIES:
                raise BadMessage(f"more than {MOST_ENTRIES} wants")
        elif tag == 2:
            message.full = bool(number(value))


def _keep(message: Message, entries: list[_Entry], entry: _Entry | None) -> None:
    if entry is None:
        message.odd += 1
    else:
        entries.append(entry)


def _read_entry(counted: _Counted, entry: memoryview) -> Want | None:
    cid: CidBytes | None = CidBytes(b"")
    priority, cancel, kind, send_dont_have = 0, False, WantType.BLOCK, False
    for tag, value in counted.fields(entry):
        if tag == 1:
            cid = _cid(value)
        elif tag == 2:
            priority = _int32(number(value))
        elif tag == 3:
            cancel = bool(number(value))
        elif tag == 4:
            kind = WantType.HAVE if number(value) == WantType.HAVE else WantType.BLOCK
        elif tag == 5:
            send_dont_have = bool(number(value))
    return None if cid is None else Want(cid, kind, cancel, send_dont_have, priority)


def _read_block(counted: _Counted, block: memoryview) -> Block | None:
    prefix: bytes | None = b""
    data = memoryview(b"")
    for tag, value in counted.fields(block):
        if tag == 1:
            prefix = _cid(value)
        elif tag == 2:
            data = window(value)
    return None if prefix is None else Block(prefix, data)


def _read_presence(counted: _Counted, presence: memoryview) -> Presence | None:
    cid: CidBytes | None = CidBytes(b"")
    have = True
    for tag, value in counted.fields(presence):
        if tag == 1:
            cid = _cid(value)
        elif tag == 2:
            have = number(value) != _DONT_HAVE
    return None if cid is None else Presence(cid, have)


def _cid(value: int | memoryview) -> CidBytes | None:
    """None: an odd one."""
    cid = window(value)
    return CidBytes(bytes(cid)) if len(cid) <= LONGEST_CID else None


def _int32(value: int) -> int:
    low = value & 0xFFFF_FFFF
    return low - (1 << 32) if low >> 31 else low


def _entry(want: Want) -> bytes:
    numbers: Iterable[tuple[int, int]] = (
        (2, want.priority & 0xFFFF_FFFF_FFFF_FFFF),  # a negative int32 is written as 64 bits
        (3, want.cancel),
        (4, want.kind),
        (5, want.send_dont_have),
    )
    return _field(1, want.cid) + b"".join(
        encode_varint(tag << 3) + encode_varint(value) for tag, value in numbers if value
    )


def _field(tag: int, value: bytes) -> bytes:
    return encode_varint(tag << 3 | 2) + encode_varint(len(value)) + value
