"""Small DAGs for tests: files, metadata documents and folders, built by hand so that every byte is known."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

from pinning_worker.domain.content.cid import DAG_PB, RAW, Cid, cid_of, encode_varint
from pinning_worker.domain.content.multihash import Multihash

Blocks = dict[Multihash, bytes]


def _field(number: int, data: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(data)) + data


def dag_pb(links: Sequence[tuple[str, Cid, int]], unixfs_kind: int, content: bytes = b"") -> bytes:
    """A dag-pb block with (name, CID, size) links and a UnixFS Data field."""
    data = b"\x08" + encode_varint(unixfs_kind) + (_field(2, content) if content else b"")
    out = b"".join(
        _field(2, _field(1, cid.binary) + _field(2, name.encode()) + b"\x18" + encode_varint(size))
        for name, cid, size in links
    )
    return out + _field(1, data)


def add(blocks: Blocks, codec: int, block: bytes) -> Cid:
    cid = cid_of(codec, block)
    blocks[cid.multihash] = block
    return cid


def file(content: bytes, chunk: int = 262_144) -> tuple[Cid, Blocks]:
    """A file as Helia makes it: one raw block, or a dag-pb root over raw leaves."""
    blocks: Blocks = {}
    if len(content) <= chunk:
        return add(blocks, RAW, content), blocks
    parts = [content[at : at + chunk] for at in range(0, len(content), chunk)]
    leaves = [("", add(blocks, RAW, part), len(part)) for part in parts]
    return add(blocks, DAG_PB, dag_pb(leaves, 2)), blocks


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def nft(image: bytes, name: str = "art", **fields: object) -> tuple[Cid, Cid, Blocks]:
    """(metadata CID, image CID, blocks): what a browser adds before it asks."""
    image_cid, blocks = file(image)
    document = {"name": name, "description": "…", "image": f"ipfs://{image_cid}"} | fields
    cid, own = file(json.dumps(document).encode())
    return cid, image_cid, blocks | own


def folder(entries: Mapping[str, tuple[Cid, int]], blocks: Blocks) -> Cid:
    return add(blocks, DAG_PB, dag_pb([(name, cid, size) for name, (cid, size) in sorted(entries.items())], 1))
