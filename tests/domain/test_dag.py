"""dag-pb and UnixFS: the links of a block, small files and folders, and everything that is malformed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.bitswap.dag_pb import Link as PeersLink
from libp2p.bitswap.dag_pb import encode_dag_pb

from pinning_worker.domain.content.cid import DAG_CBOR, Cid, UnsupportedCid, cid_of
from pinning_worker.domain.content.dag import (
    BadBlock,
    Kind,
    MissingBlock,
    NoSuchPath,
    NotAFile,
    TooLong,
    UnsupportedPath,
    entries,
    is_directory,
    links,
    look_up,
    parse_node,
    parse_unixfs,
    reading,
    resolving,
)
from tests.domain.dagpb import DAG_PB, HAMT_SHARD, RAW, SYMLINK, Blocks, field, folder, link, node, unixfs

A, B = cid_of(RAW, b"a"), cid_of(DAG_PB, b"b")
OLD = Cid(0, DAG_PB, B.multihash)


# ---------------------------------------------------------------- links


def test_links_come_in_order_with_repeats() -> None:
    assert links(DAG_PB, node(B, A, OLD, A)) == (B, A, OLD, A)


def test_raw_links_to_nothing() -> None:
    assert links(RAW, node(A)) == ()


def test_an_empty_block_is_an_empty_node() -> None:
    assert links(DAG_PB, b"") == ()


def test_another_codec_is_refused() -> None:
    with pytest.raises(UnsupportedCid):
        links(DAG_CBOR, b"")


@given(st.lists(st.tuples(st.sampled_from([A, B, OLD]), st.text(max_size=8), st.integers(0, 2**63))))
def test_reads_what_py_libp2p_writes(told: list[tuple[Cid, str, int]]) -> None:
    block = encode_dag_pb([PeersLink(cid=cid.binary, name=name, size=size) for cid, name, size in told], None)
    assert links(DAG_PB, block) == tuple(cid for cid, _, _ in told)
    assert [(found.cid, found.name) for found in parse_node(block).links] == [(cid, name) for cid, name, _ in told]


@pytest.mark.parametrize(
    "block",
    [
        b"\xff",
        b"\x12",
        b"\x12\x80",
        b"\x12\x05abc",  # reaches past the end
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a varint of 11 bytes
        b"\x10\x01",  # Links as a number
        b"\x0b",  # a group
        b"\x00\x00",  # field 0
        field(3, b"unknown"),
        field(2, b""),  # a link without a CID
        field(2, field(2, b"name")),
        field(2, field(1, b"\x01\x55")),  # a CID cut off
        field(2, field(1, A.binary + b"\0")),
        field(2, field(1, b"")),
        field(2, b"\x0a\x24" + A.binary[:-1]),
    ],
)
def test_malformed_blocks(block: bytes) -> None:
    with pytest.raises(BadBlock):
        links(DAG_PB, block)
    with pytest.raises(BadBlock):
        parse_node(block)


@pytest.mark.parametrize(
    "block",
    [
        unixfs(1) + unixfs(1),  # two Data fields
        field(2, field(1, A.binary) + field(1, A.binary)),  # two CIDs in one link
        field(2, field(1, A.binary) + field(2, b"\xff")),  # a name that is not UTF-8
        field(2, field(1, A.binary) + field(9, b"x")),
    ],
)
def test_malformed_where_the_whole_node_is_read(block: bytes) -> None:
    with pytest.raises(BadBlock):
        parse_node(block)


@given(st.binary(max_size=120))
def test_garbage_is_a_bad_block_or_a_node_and_nothing_else(block: bytes) -> None:
    try:
        links(DAG_PB, block)
        parse_unixfs(parse_node(block).data)
    except BadBlock:
        pass
    is_directory(DAG_PB, block)


# ---------------------------------------------------------------- files


def read(blocks: Blocks, root: Cid, limit: int = 1000) -> bytes:
    return look_up(reading(root, limit), blocks.of)


def test_a_file_is_its_leaves_in_order_whatever_the_tree() -> None:
    blocks = Blocks()
    chunks = [bytes([n]) * 3 for n in range(50)]
    assert read(blocks, blocks.add_file(*chunks, fanout=3)) == b"".join(chunks)


def test_a_leaf_that_appears_twice_is_read_twice() -> None:
    blocks = Blocks()
    assert read(blocks, blocks.add_file(b"x", b"y", b"x")) == b"xyx"


def test_old_leaves_are_unixfs_too() -> None:
    blocks = Blocks()
    leaves = [blocks.add(DAG_PB, node(kind=kind, content=text)) for kind, text in [(2, b"one"), (0, b"two")]]
    assert read(blocks, blocks.add(DAG_PB, node(*leaves, content=b"zero"))) == b"zeroonetwo"


def test_a_document_is_read_up_to_its_limit() -> None:
    blocks = Blocks()
    root = blocks.add_file(b"12345", b"67890")
    assert read(blocks, root, limit=10) == b"1234567890"
    with pytest.raises(TooLong):
        read(blocks, root, limit=9)


def test_a_file_of_nothing_is_bounded_too() -> None:
    """Doubling levels of one empty leaf: 2**40 visits, a few hundred bytes."""
    blocks = Blocks()
    root = blocks.add(RAW, b"")
    for _ in range(40):
        root = blocks.add(DAG_PB, node(root, root))
    with pytest.raises(TooLong):
        read(blocks, root)


def test_what_is_not_a_file() -> None:
    blocks = Blocks()
    for kind in (1, SYMLINK, HAMT_SHARD):
        with pytest.raises(NotAFile):
            read(blocks, blocks.add(DAG_PB, node(kind=kind)))
    with pytest.raises(BadBlock):
        read(blocks, blocks.add(DAG_PB, field(1, b"")))
    with pytest.raises(BadBlock):
        read(blocks, blocks.add(DAG_PB, field(1, field(1, 99))))
    with pytest.raises(UnsupportedCid):
        read(blocks, cid_of(DAG_CBOR, b""))
    with pytest.raises(MissingBlock):
        read(blocks, A)


# ---------------------------------------------------------------- folders


def test_paths_lead_through_basic_folders() -> None:
    blocks = Blocks()
    picture = blocks.add(RAW, b"png")
    art = blocks.add(DAG_PB, folder(**{"one two.png": picture}))
    root = blocks.add(DAG_PB, folder(art=art))
    assert look_up(resolving(root, "art/one two.png"), blocks.of) == picture
    assert look_up(resolving(root, "/art//one%20two.png"), blocks.of) == picture
    assert look_up(resolving(root, ""), blocks.of) == root
    for path in ("art/two.png", "art/one two.png/more", "x"):
        with pytest.raises(NoSuchPath):
            look_up(resolving(root, path), blocks.of)


def test_of_two_entries_with_one_name_the_first_counts() -> None:
    assert entries(link(A, "x") + link(B, "x") + unixfs(1)) == {"x": A}


def test_no_path_leads_into_a_sharded_folder_and_it_is_said_so() -> None:
    shard = node(A, kind=HAMT_SHARD)
    assert is_directory(DAG_PB, shard)
    with pytest.raises(UnsupportedPath):
        entries(shard)


def test_what_is_a_folder() -> None:
    assert is_directory(DAG_PB, folder())
    assert not is_directory(DAG_PB, node())
    assert not is_directory(RAW, folder())
    assert parse_unixfs(parse_node(node(kind=SYMLINK)).data).kind is Kind.SYMLINK
