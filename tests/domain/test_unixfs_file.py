"""Files cut into blocks, against CIDs that Kubo 0.41.0 made of the same bytes (`ipfs add --cid-version=1 --raw-leaves`,
with that chunker and that many links)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.content.dag import look_up, reading
from pinning_worker.domain.content.multihash import is_hash_of
from pinning_worker.domain.content.unixfs_file import CHUNK, WIDTH, file_blocks
from tests.content import noise

MADE_BY_KUBO = [
    (0, CHUNK, WIDTH, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
    (11, CHUNK, WIDTH, "bafkreidiidkpoy4ozycu5wcb6htqibo6vtkaegrtlul3sa554fktuelsje"),
    (1048576, CHUNK, WIDTH, "bafkreiaiwkunuvhd4gc7ajnmknrt32xfuwb4rcakokrb4fu2dwqcfovaam"),
    (1048577, CHUNK, WIDTH, "bafybeiewdegfrcya7ltytfnyis4ryzvjrczu3mog4fis5yoehy7mnhqmuy"),
    (3500000, CHUNK, WIDTH, "bafybeihsx2smpd3idyqcbrqwuhll45ggjgamlqxekgmfvqnaxpiorykkj4"),
    (48, 16, 3, "bafybeiejsongxe4feq5rwjvaboneomhjmhozkur3gymixaz6mnxnkimqvi"),
    (49, 16, 3, "bafybeiadwzri5h6lw3yhwfj46ybzrkqgcwffadbpxauc5yvvopouufg6ki"),
    (100, 16, 3, "bafybeifkqurb7fyzzw6xv65hgdfzywsskbr7hwkg5dscw4hskkjehijlq4"),
    (144, 16, 3, "bafybeidwwebjqvvuqloadfe4ek3cuzurats55csyiyb3wawgpyjjueoofa"),
    (145, 16, 3, "bafybeidrp5n2qpxze4pjuz4sntorr3mdnw5o3lcvn7txsk344co4mwnkre"),
    (400, 16, 3, "bafybeibjf7dyo5ewh4zdk3tq67uhekdca3wg65yhpefwfxhqqvloflwkri"),
    (300000, 256, 1024, "bafybeidenbq4h75e6bswddvq57rjksusfnvgljcspdyccilrc2fwjuaj3u"),
]


def chunks(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


@pytest.mark.parametrize(("size", "chunk", "width", "cid"), MADE_BY_KUBO)
def test_the_root_comes_last_and_is_what_kubo_makes(size: int, chunk: int, width: int, cid: str) -> None:
    *_, (root, _) = file_blocks(chunks(noise(size), chunk), width)
    assert str(root) == cid


@pytest.mark.parametrize(("size", "width"), [(0, 3), (16, 3), (17, 3), (145, 3), (400, 3), (400, 2)])
def test_its_blocks_hold_the_file(size: int, width: int) -> None:
    content = noise(size)
    made: list[tuple[Cid, bytes]] = list(file_blocks(chunks(content, 16), width))
    assert all(is_hash_of(cid.multihash, block) for cid, block in made)
    blocks = {cid.multihash: block for cid, block in made}
    assert look_up(reading(made[-1][0], 1000), lambda cid: blocks.get(cid.multihash)) == content
