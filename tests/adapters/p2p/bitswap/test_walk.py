"""A DAG walked in any order of arrival: the same order comes out, each block once, and every limit holds."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.p2p.bitswap.walk import Walk
from pinning_worker.domain.content.cid import DAG_CBOR, Cid, cid_of
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.ports.content import Budget, OverBudget, Unreadable
from tests.domain.dagpb import DAG_PB, FILE, HAMT_SHARD, RAW, Blocks, field, link, node, unixfs

ROOMY = Budget(
    max_bytes=10**6,
    max_blocks=1000,
    max_depth=50,
    first_block_time=timedelta(seconds=1),
    idle_time=timedelta(seconds=1),
    fetch_time=timedelta(seconds=1),
)


def walk(root: Cid, blocks: Blocks, budget: Budget = ROOMY, pick: Callable[[int], int] = lambda count: 0) -> Walk:
    """Walks with all wants open at once, blocks arriving in the order that `pick` chooses."""
    walk = Walk(root, budget)
    waiting: list[tuple[Cid, int]] = []
    while True:
        while place := walk.next():
            waiting.append(place)
        if not waiting:
            return walk
        cid, depth = waiting.pop(pick(len(waiting)))
        block = blocks[cid.multihash]
        walk.take(cid, depth, len(block), walk.children(cid, block))


@st.composite
def dags(draw: st.DrawFn) -> tuple[Cid, Blocks]:
    """Any DAG: each new node links to some of those before it, repeats included."""
    blocks = Blocks()
    made = [blocks.add(RAW, bytes([n])) for n in range(draw(st.integers(1, 4)))]
    for number in range(draw(st.integers(0, 8))):
        children = draw(st.lists(st.sampled_from(made), max_size=5))
        made.append(blocks.add(DAG_PB, node(*children, content=bytes([number]))))
    return made[-1], blocks


def preorder(cid: Cid, blocks: Blocks, found: dict[bytes, int]) -> dict[bytes, int]:
    if cid.multihash not in found:
        block = blocks[cid.multihash]
        found[cid.multihash] = len(block)
        for child in Walk(cid, ROOMY).children(cid, block):
            preorder(child, blocks, found)
    return found


@given(dags(), st.randoms(use_true_random=False))
def test_walk_order_does_not_depend_on_the_order_of_arrival(dag: tuple[Cid, Blocks], random: Random) -> None:
    root, blocks = dag
    order = walk(root, blocks, pick=random.randrange).in_order()
    assert list(order.items()) == list(preorder(root, blocks, {}).items())


def test_a_link_is_held_once_however_often_it_stands_in_a_block_and_in_how_many() -> None:
    blocks = Blocks()
    leaf = blocks.add(RAW, b"leaf")
    parents = [blocks.add(DAG_PB, node(*[leaf] * 1000, content=bytes([n]))) for n in range(3)]
    done = walk(blocks.add(DAG_PB, node(*parents)), blocks)
    held = [child for children in done._children.values() for child in children]
    assert len(held) == 3 + 3
    assert len({id(child) for child in held}) == 3 + 1


def test_a_file_is_asked_for_front_to_back() -> None:
    blocks = Blocks()
    leaves = [blocks.add(RAW, bytes([n])) for n in range(5)]
    root = blocks.add(DAG_PB, node(*leaves))
    walk = Walk(root, ROOMY)
    assert walk.next() == (root, 0)
    assert walk.next() is None, "nothing to ask for until the root is here"
    walk.take(root, 0, 1, walk.children(root, blocks[root.multihash]))
    assert [walk.next() for _ in range(6)] == [*((leaf, 1) for leaf in leaves), None]


def test_bytes_that_are_both_raw_and_a_node_are_counted_once_and_walked() -> None:
    blocks = Blocks()
    inner = blocks.add(DAG_PB, node(blocks.add(RAW, b"leaf")))
    root = blocks.add(DAG_PB, node(Cid(1, RAW, inner.multihash), inner))
    done = walk(root, blocks)
    assert len(done.in_order()) == 3
    assert done.bytes == sum(map(len, blocks.values()))


# ---------------------------------------------------------------- limits, each exact


def test_bytes() -> None:
    blocks = Blocks()
    root = blocks.add_file(bytes(100), bytes(101))
    total = sum(map(len, blocks.values()))
    assert walk(root, blocks, replace(ROOMY, max_bytes=total)).bytes == total
    with pytest.raises(OverBudget, match=f"limit of {total - 1} bytes") as caught:
        walk(root, blocks, replace(ROOMY, max_bytes=total - 1))
    assert len(caught.value.blocks) == 2, "what was held is told"


def test_a_root_that_says_it_is_too_large_is_refused_before_anything_else_is_got() -> None:
    blocks = Blocks()
    leaves = [blocks.add(RAW, bytes([n])) for n in range(3)]
    links = [link(leaf, size=500) for leaf in (*leaves, leaves[0])]
    root = blocks.add(DAG_PB, b"".join(links) + unixfs(FILE))
    own = len(blocks[root.multihash])
    with pytest.raises(OverBudget, match=f"limit of {own + 1499} bytes: at least {own + 1500}") as caught:
        walk(root, blocks, replace(ROOMY, max_bytes=own + 1499))
    assert caught.value.blocks == {}
    assert (caught.value.limited, caught.value.got) == ("bytes", own + 1500)
    assert walk(root, blocks, replace(ROOMY, max_bytes=own + 1500)).bytes == own + 3, (
        "what it said too much costs nothing"
    )


def test_a_sharded_folder_of_too_many_files_is_refused_once_its_shards_are_known() -> None:
    """Catches: the leaves of the first shard got before the second is looked at."""
    blocks = Blocks()
    shards = [
        blocks.add(DAG_PB, node(*(blocks.add(RAW, bytes([shard, n])) for n in range(100)), kind=HAMT_SHARD))
        for shard in range(12)
    ]
    root = blocks.add(DAG_PB, node(*shards, kind=HAMT_SHARD))
    with pytest.raises(OverBudget, match="1000 blocks") as caught:
        walk(root, blocks, ROOMY)
    assert len(caught.value.blocks) == 11, "the root and ten shards; not one file"


def test_a_block_over_the_limit_is_refused_before_it_is_stored() -> None:
    walk = Walk(cid_of(RAW, b"x"), replace(ROOMY, max_bytes=10))
    walk.charge(Multihash(b"any"), 10)
    with pytest.raises(OverBudget):
        walk.charge(Multihash(b"any"), 11)


def test_blocks_linked_to_count_before_they_come() -> None:
    blocks = Blocks()
    root = blocks.add_file(*[bytes([n]) for n in range(9)])
    assert len(walk(root, blocks, replace(ROOMY, max_blocks=10)).sizes) == 10
    with pytest.raises(OverBudget, match="blocks") as caught:
        walk(root, blocks, replace(ROOMY, max_blocks=9))
    assert len(caught.value.blocks) == 1


def test_depth() -> None:
    blocks = Blocks()
    cid = blocks.add(RAW, b"deep down")
    for _ in range(4):
        cid = blocks.add(DAG_PB, node(cid))
    assert len(walk(cid, blocks, replace(ROOMY, max_depth=4)).sizes) == 5
    with pytest.raises(OverBudget, match="depth"):
        walk(cid, blocks, replace(ROOMY, max_depth=3))


def test_what_we_do_not_read() -> None:
    blocks = Blocks()
    with pytest.raises(Unreadable, match="codec 0x71"):
        walk(blocks.add(DAG_PB, node(cid_of(DAG_CBOR, b""))), blocks)
    with pytest.raises(Unreadable, match="not a dag-pb block"):
        walk(blocks.add(DAG_PB, field(9, b"nonsense")), blocks)
    with pytest.raises(Unreadable):
        walk(Cid(1, RAW, Multihash(b"\x00\x01a")), blocks)
