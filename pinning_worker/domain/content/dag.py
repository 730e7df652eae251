"""The links of a block, and the content of small UnixFS files and folders: pure functions over blocks at hand.

`links` serves to walk a DAG; it reads dag-pb (https://ipld.io/specs/codecs/dag-pb/spec) and raw, nothing else.
Functions that need more than one block are generators: they yield the CID they need next, receive its bytes, and
return their result, so that the caller chooses the source of blocks (`look_up` drives one from a dict or a store).

Rules: a block with the right hash can still be malformed (`BadBlock`); nothing is read without a limit; a sharded
folder (HAMT) can be pinned like any DAG, but no path leads into it (`UnsupportedPath`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar
from urllib.parse import unquote

from pinning_worker.domain.content.cid import DAG_PB, RAW, BadCid, Cid, UnsupportedCid, cid_from_bytes
from pinning_worker.domain.content.protobuf import BYTES, BadProtobuf, fields, number, window

Result = TypeVar("Result")
Needs = Generator[Cid, bytes, Result]

MOST_NODES = 4096  # one small document or path never needs more blocks than this


class BadBlock(ValueError):
    """A block whose bytes do not match its codec."""


class NotAFile(ValueError):
    """The CID is a folder or another node without file bytes."""


class TooLong(ValueError):
    """The file is larger than the reader's limit."""


class MissingBlock(LookupError):
    """A needed block is not at hand."""


class NoSuchPath(LookupError):
    """The folder has no entry of that name."""


class UnsupportedPath(ValueError):
    """A path through a folder whose layout this worker does not read (HAMT shards)."""


class Kind(IntEnum):
    """UnixFS's data types (https://specs.ipfs.tech/unixfs/)."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    HAMT_SHARD = 5


@dataclass(frozen=True, slots=True)
class Link:
    name: str
    cid: Cid


@dataclass(frozen=True, slots=True)
class Node:
    """A dag-pb block: its links in order, and its own data (UnixFS, as a rule)."""

    links: tuple[Link, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class UnixFs:
    """The Data field of a dag-pb block: its kind, and the file bytes in this block itself."""

    kind: Kind
    content: bytes


def links(codec: int, block: bytes | memoryview) -> tuple[Cid, ...]:
    """The CIDs a block links to, in order, repeats included. Raises BadBlock, UnsupportedCid (another codec)."""
    if codec == RAW:
        return ()
    if codec != DAG_PB:
        raise UnsupportedCid(f"codec 0x{codec:x} is not supported: only dag-pb and raw are")
    try:
        found = tuple(_link_cid(window(value)) for tag, _, value in fields(memoryview(block)) if _node_field(tag) == 2)
    except (BadProtobuf, BadCid) as error:
        raise BadBlock(f"not a dag-pb block: {error}") from error
    return found


def declared_bytes(codec: int, block: bytes) -> int:
    """The bytes of a block and all its links together, as the block declares them: its length and the Tsize of each
    link, counted once for each multihash. Trust it only as a claim to need at least so much. Raises BadBlock."""
    if codec != DAG_PB:
        return len(block)
    sizes: dict[bytes, int] = {}
    try:
        for tag, _, value in fields(memoryview(block)):
            if _node_field(tag) == 2:
                link = window(value)
                sizes[_link_cid(link).multihash] = _tsize(link)
    except (BadProtobuf, BadCid) as error:
        raise BadBlock(f"not a dag-pb block: {error}") from error
    return len(block) + sum(sizes.values())


def _tsize(link: memoryview) -> int:
    return next((number(value) for tag, _, value in fields(link) if tag == 3), 0)


def parse_node(block: bytes) -> Node:
    """A dag-pb block with the names of its links. Raises BadBlock."""
    found: list[Link] = []
    data: bytes | None = None
    try:
        for tag, _, value in fields(memoryview(block)):
            if _node_field(tag) == 2:
                found.append(_link(window(value)))
            elif data is not None:
                raise BadBlock("not a dag-pb block: two Data fields")
            else:
                data = bytes(window(value))
    except (BadProtobuf, BadCid, UnicodeDecodeError) as error:
        raise BadBlock(f"not a dag-pb block: {error}") from error
    return Node(tuple(found), data or b"")


def parse_unixfs(data: bytes) -> UnixFs:
    """The Data field of a dag-pb block. Raises BadBlock."""
    kind: Kind | None = None
    content = b""
    try:
        for tag, _, value in fields(memoryview(data)):
            if tag == 1:
                kind = Kind(number(value))
            elif tag == 2:
                content = bytes(window(value))
    except ValueError as error:  # BadProtobuf, or an unknown kind
        raise BadBlock(f"not UnixFS: {error}") from error
    if kind is None:
        raise BadBlock("not UnixFS: no type")
    return UnixFs(kind, content)


def is_directory(codec: int, block: bytes) -> bool:
    """Whether a block is the top of a folder, basic or sharded. Never raises: an unreadable block is no folder."""
    if codec != DAG_PB:
        return False
    try:
        return parse_unixfs(parse_node(block).data).kind in (Kind.DIRECTORY, Kind.HAMT_SHARD)
    except BadBlock:
        return False


def entries(block: bytes) -> dict[str, Cid]:
    """The entries of a basic folder by name; of two with one name the first counts, as Kubo and Helia resolve it.

    Raises BadBlock, NoSuchPath (not a folder), UnsupportedPath (a HAMT shard).
    """
    node = parse_node(block)
    kind = parse_unixfs(node.data).kind
    if kind is Kind.HAMT_SHARD:
        raise UnsupportedPath("the folder is a HAMT shard: no path is followed into it")
    if kind is not Kind.DIRECTORY:
        raise NoSuchPath("not a folder")
    return {link.name: link.cid for link in reversed(node.links)}


def reading(root: Cid, limit: int) -> Needs[bytes]:
    """The bytes of the file at `root`, leaves in order. For documents: `limit` is in bytes and held in memory.

    Raises TooLong, NotAFile, BadBlock, UnsupportedCid.
    """
    content = bytearray()
    todo, nodes = [root], 0
    while todo:
        cid, nodes = todo.pop().require_supported(), nodes + 1
        if nodes > MOST_NODES:
            raise TooLong(f"the file has more than {MOST_NODES} blocks")
        own, children = _part(cid, (yield cid))
        content += own
        if len(content) > limit:
            raise TooLong(f"the file is longer than {limit} bytes")
        todo.extend(reversed(children))
    return bytes(content)


def resolving(root: Cid, path: str) -> Needs[Cid]:
    """The CID that `path` (`a/b.png`, percent escapes allowed) names under the folder `root`.

    Raises NoSuchPath, UnsupportedPath, BadBlock, UnsupportedCid.
    """
    cid = root
    for name in [unquote(part) for part in path.split("/") if part][:MOST_NODES]:
        if cid.require_supported().codec == RAW:
            raise NoSuchPath(f"{name!r}: not a folder")
        found = entries((yield cid)).get(name)
        if found is None:
            raise NoSuchPath(f"no entry {name!r}")
        cid = found
    return cid


def look_up(steps: Needs[Result], block_of: Callable[[Cid], bytes | None]) -> Result:
    """Runs `reading` or `resolving` to its end over blocks at hand. Raises MissingBlock, and their own errors."""
    try:
        cid = next(steps)
        while True:
            block = block_of(cid)
            if block is None:
                raise MissingBlock(str(cid))
            cid = steps.send(block)
    except StopIteration as end:
        result: Result = end.value
        return result


def _part(cid: Cid, block: bytes) -> tuple[bytes, list[Cid]]:
    if cid.codec == RAW:
        return block, []
    node = parse_node(block)
    unixfs = parse_unixfs(node.data)
    if unixfs.kind not in (Kind.FILE, Kind.RAW):
        raise NotAFile(f"{cid} is a {unixfs.kind.name.lower()}, not a file")
    return unixfs.content, [link.cid for link in node.links]


def _node_field(tag: int) -> int:
    if tag not in (1, 2):  # like the spec's decoder, refuse unknown fields: a block has one reading only
        raise BadProtobuf(f"dag-pb has no field {tag}")
    return tag


def _link_cid(link: memoryview) -> Cid:
    """The Hash of a PBLink. The hot path of a walk: most links are `0a 24 <36 bytes>` or `0a 22 <34 bytes>` first."""
    if len(link) > 2 and link[0] == 0x0A and link[1] < 0x80 and 2 + link[1] <= len(link):
        return cid_from_bytes(bytes(link[2 : 2 + link[1]]))
    return _link(link).cid


def _link(link: memoryview) -> Link:
    cid: Cid | None = None
    name = ""
    for tag, wire, value in fields(link):
        if tag == 1 and cid is None:
            cid = cid_from_bytes(bytes(window(value)))
        elif tag == 2:
            name = str(window(value), "utf-8")
        elif tag != 3 or wire == BYTES:
            raise BadProtobuf(f"a link has no such field {tag}")
    if cid is None:
        raise BadProtobuf("a link without a CID")
    return Link(name, cid)
