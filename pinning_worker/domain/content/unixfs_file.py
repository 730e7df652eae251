"""The blocks of one file, as Kubo and Helia cut it, so that the same file has the same CID wherever it is added.

A balanced tree (https://specs.ipfs.tech/unixfs/): leaves are raw blocks of one chunk each, a node above them links to
at most `width` children, and all leaves are equally deep. A file of one chunk is its leaf alone. 1 MiB and 1024 are
Helia's figures; Kubo makes the same of `--cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024`.

Rules: one chunk is in memory at a time, and per level of the tree one node's links; the root comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pinning_worker.domain.content.cid import DAG_PB, RAW, Cid, cid_of, encode_varint
from pinning_worker.domain.content.dag import Kind
from pinning_worker.domain.content.protobuf import BYTES, VARINT

CHUNK = 1_048_576
WIDTH = 1024


@dataclass(frozen=True, slots=True)
class Child:
    """A node of the tree as its parent sees it: `content` bytes of the file in `stored` bytes of blocks."""

    cid: Cid
    content: int
    stored: int


def file_blocks(chunks: Iterable[bytes], width: int = WIDTH) -> Iterator[tuple[Cid, bytes]]:
    """(CID, block) of each block of the file with these chunks; all chunks but the last are equally long."""
    levels: list[list[Child]] = [[]]
    for chunk in chunks:
        cid = cid_of(RAW, chunk)
        yield cid, chunk
        yield from _hang(levels, 0, Child(cid, len(chunk), len(chunk)), width)
    if levels == [[]]:
        yield cid_of(RAW, b""), b""
    yield from _close(levels, width)


def _hang(levels: list[list[Child]], level: int, child: Child, width: int) -> Iterator[tuple[Cid, bytes]]:
    """Writes a full node once its next sibling comes: the last node may be the root, without a sibling."""
    if level == len(levels):
        levels.append([])
    if len(levels[level]) == width:
        node, block = _node(levels[level])
        yield node.cid, block
        levels[level] = []
        yield from _hang(levels, level + 1, node, width)
    levels[level].append(child)


def _close(levels: list[list[Child]], width: int) -> Iterator[tuple[Cid, bytes]]:
    level = 0
    while level < len(levels) - 1 or len(levels[level]) > 1:
        node, block = _node(levels[level])
        yield node.cid, block
        levels[level] = []
        yield from _hang(levels, level + 1, node, width)
        level += 1


def _node(children: list[Child]) -> tuple[Child, bytes]:
    content = sum(child.content for child in children)
    unixfs = _number(1, Kind.FILE) + _number(3, content) + b"".join(_number(4, child.content) for child in children)
    block = b"".join(_bytes(2, _link(child)) for child in children) + _bytes(1, unixfs)
    return Child(cid_of(DAG_PB, block), content, len(block) + sum(child.stored for child in children)), block


def _link(child: Child) -> bytes:
    return _bytes(1, child.cid.binary) + _bytes(2, b"") + _number(3, child.stored)


def _bytes(field: int, value: bytes) -> bytes:
    return encode_varint(field << 3 | BYTES) + encode_varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return encode_varint(field << 3 | VARINT) + encode_varint(value)
