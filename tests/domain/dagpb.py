"""dag-pb blocks written for tests, in the layout that Kubo and Helia write: links first, data last."""

from pinning_worker.domain.content.cid import Cid, cid_of, encode_varint
from pinning_worker.domain.content.multihash import Multihash

DAG_PB, RAW = 0x70, 0x55
DIRECTORY, FILE, SYMLINK, HAMT_SHARD = 1, 2, 4, 5


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return encode_varint(number << 3) + encode_varint(value)
    return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value


def link(cid: Cid, name: str = "", size: int = 0) -> bytes:
    return field(2, field(1, cid.binary) + field(2, name.encode()) + field(3, size))


def unixfs(kind: int, content: bytes = b"") -> bytes:
    return field(1, field(1, kind) + field(2, content))


def node(*children: Cid, kind: int = FILE, content: bytes = b"") -> bytes:
    return b"".join(link(child) for child in children) + unixfs(kind, content)


def folder(**entries: Cid) -> bytes:
    return b"".join(link(cid, name) for name, cid in entries.items()) + unixfs(DIRECTORY)


class Blocks(dict[Multihash, bytes]):
    """Blocks by multihash; `add` returns the CID."""

    def add(self, codec: int, block: bytes) -> Cid:
        cid = cid_of(codec, block)
        self[cid.multihash] = block
        return cid

    def of(self, cid: Cid) -> bytes | None:
        return self.get(cid.multihash)

    def add_file(self, *chunks: bytes, fanout: int = 174) -> Cid:
        """A balanced file of raw leaves."""
        level = [self.add(RAW, chunk) for chunk in chunks]
        while len(level) > 1:
            level = [self.add(DAG_PB, node(*level[at : at + fanout])) for at in range(0, len(level), fanout)]
        return level[0]
