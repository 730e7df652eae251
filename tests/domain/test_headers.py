"""One header and its work: what is accepted, and that nothing can be changed in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.auxpow import MAGIC, expected_index
from pinning_worker.domain.chain.difficulty import target_of
from pinning_worker.domain.chain.headers import HEADER_SIZE, BadHeader, parse_header, read_proven_header
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Network
from tests.mining import REGTEST_GENESIS, MergeMining, grind, merge_mine, mine, own_network, without_work

# Two bytes of zeros: a mutation meets this target once in 65 536 times, and what is mined here never changes.
HARD_BITS = 0x1F00FFFF
ANY = "."
HARD, HARD_GENESIS = own_network(bits=HARD_BITS)
MERGED = merge_mine(HARD_GENESIS, MergeMining(network=HARD))
PLAIN = mine(HARD_GENESIS, network=HARD)


def require_refused(data: bytes, reason: str, network: Network = DOICHAIN_REGTEST) -> None:
    with pytest.raises(BadHeader, match=reason):
        read_proven_header(data, 0, network)


def test_the_genesis_of_regtest_is_doichains() -> None:
    assert REGTEST_GENESIS.hash[::-1].hex() == DOICHAIN_REGTEST.genesis_hash


def test_a_plain_and_a_merge_mined_header_are_read_one_after_the_other() -> None:
    first, at = read_proven_header(PLAIN + MERGED, 0, HARD)
    second, end = read_proven_header(PLAIN + MERGED, at, HARD)
    assert (first.raw, at, second.raw, end) == (PLAIN, HEADER_SIZE, MERGED[:HEADER_SIZE], len(PLAIN + MERGED))
    assert first.previous == second.previous == HARD_GENESIS.hash


def test_no_byte_of_a_plain_header_can_be_changed() -> None:
    assert not [at for at in range(HEADER_SIZE) if is_accepted(flipped(PLAIN, at))]


def test_no_byte_of_a_merge_mined_header_or_its_proof_can_be_changed_but_what_no_node_reads() -> None:
    accepted = {at for at in range(len(MERGED)) if is_accepted(flipped(MERGED, at))}
    redundant = MERGED.rindex(bytes(32))  # the hash of the parent block
    index = redundant + 32 + 1 + 2 * 32  # of the coinbase, after its branch
    assert accepted == {*range(redundant, redundant + 32), *range(index, index + 4)}


@given(st.integers(min_value=0, max_value=len(MERGED) - 1))
def test_a_header_cut_off_anywhere_is_refused(size: int) -> None:
    require_refused(MERGED[:size], ANY, HARD)


@given(st.binary(max_size=400))
def test_random_bytes_are_no_header(data: bytes) -> None:
    require_refused(data, ANY, HARD)
    require_refused(MERGED[:HEADER_SIZE] + data, ANY, HARD)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x01,)) + data[at + 1 :]


def is_accepted(data: bytes) -> bool:
    try:
        return read_proven_header(data, 0, HARD)[1] == len(data)
    except BadHeader:
        return False


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (MergeMining(work=False), "does not meet the target"),
        (MergeMining(root_in_coinbase=False), "does not name the chain root"),
        (MergeMining(parent_root=b"\x99" * 32), "not in the parent's block"),
        (MergeMining(coinbase_index=1), "not in the parent's block"),  # another transaction than the first
        (MergeMining(parent_version=0x20000100), "merge-mined itself"),
        (MergeMining(parent_version=1 << 16), "our own chain id"),
        (MergeMining(size=8), "another size"),
        (MergeMining(index=(expected_index(7, 1, 2) + 1) % 4), "not our place"),
        (MergeMining(chain_id=2), "not our place"),
        (MergeMining(before=MAGIC), "elsewhere, or twice"),
        (MergeMining(after=MAGIC), "elsewhere, or twice"),
        (MergeMining(magic=MAGIC + b"\0"), "elsewhere, or twice"),
        (MergeMining(magic=b"", before=b"\x07" * 21), "too late"),
        (MergeMining(siblings=(b"\x21" * 32,) * 31), "longer than any tree"),
        (MergeMining(after=b"", cut=1), "size of the chain tree is missing"),
        (MergeMining(after=bytes(1_000_000)), "AuxPow: "),
    ],
)
def test_an_auxpow_that_does_not_prove_it(how: MergeMining, reason: str) -> None:
    require_refused(merge_mine(REGTEST_GENESIS, how), reason)


@pytest.mark.parametrize(
    "how",
    [
        MergeMining(tree_height=0),
        MergeMining(tree_height=5, nonce=0xFFFFFFFF),
        MergeMining(siblings=()),
        MergeMining(magic=b"", before=b"\x07" * 20),
        MergeMining(after=b""),
    ],
)
def test_an_auxpow_of_any_lawful_shape(how: MergeMining) -> None:
    merged = merge_mine(REGTEST_GENESIS, how)
    assert read_proven_header(merged, 0, DOICHAIN_REGTEST)[1] == len(merged)


def test_the_parents_work_is_measured_by_the_childs_bits() -> None:
    easy_parent = merge_mine(HARD_GENESIS, MergeMining(network=HARD), bits=0x207FFFFF)
    hard_child = merge_mine(HARD_GENESIS, MergeMining(network=HARD, work=False))
    require_refused(easy_parent, "easier than the network allows", HARD)
    require_refused(hard_child, "does not meet the target", HARD)


def test_a_plain_header_needs_work_of_its_own() -> None:
    fields = mine(REGTEST_GENESIS)[:76]
    require_refused(without_work(fields, target_of(0x207FFFFF)), "does not meet the target")


def test_a_foreign_chain_id_is_refused_on_a_strict_network_only() -> None:
    foreign = mine(REGTEST_GENESIS, version=2 << 16 | 4)
    require_refused(foreign, "chain id 2")
    relaxed = replace(DOICHAIN_REGTEST, auxpow_strict=False)
    assert read_proven_header(foreign, 0, relaxed)[0].chain_id == 2
    legacy = mine(REGTEST_GENESIS, version=1)
    assert read_proven_header(legacy, 0, DOICHAIN_REGTEST)[0].chain_id == 0


def test_bits_that_are_no_target_are_refused() -> None:
    fields = mine(REGTEST_GENESIS)[:72]
    require_refused(grind(fields + bytes(4), 1 << 256), "no target")


def test_only_80_bytes_are_a_header() -> None:
    with pytest.raises(BadHeader):
        parse_header(PLAIN + b"\0")
