"""A chain is data: Namecoin by its row alone, on headers as its nodes have them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.address import BadAddress, address_to_script, script_to_address
from pinning_worker.domain.chain.ancestors import ancestors
from pinning_worker.domain.chain.anchor import anchor_heights, start_chain
from pinning_worker.domain.chain.auxpow import read_auxpow
from pinning_worker.domain.chain.difficulty import bits_of, expected_bits, lookback, target_of
from pinning_worker.domain.chain.headers import (
    HEADER_SIZE,
    BadHeader,
    added_work,
    parse_header,
    read_proven_header,
)
from pinning_worker.domain.chain.networks import (
    DOICHAIN,
    NAMECOIN,
    NETWORKS,
    BadCheckpoint,
    PinnedBlock,
    with_checkpoint,
)
from pinning_worker.domain.identities import Script
from tests.recorded import FULL, NAMECOIN_FULL, NAMECOIN_WITHOUT_OUTPUT

MERGED = [19_414, 37_174]


@pytest.mark.parametrize("height", NAMECOIN_FULL)
def test_every_recorded_header_has_its_work(height: int) -> None:
    whole = NAMECOIN_FULL[height]
    header, end = read_proven_header(whole, 0, NAMECOIN)
    assert end == len(whole)
    assert header.chain_id == NAMECOIN.auxpow_chain_id
    assert header.is_merge_mined == (height in MERGED)
    assert added_work(header, NAMECOIN) > 0


@pytest.mark.parametrize("height", MERGED)
@given(st.data())
def test_any_byte_changed_is_refused(height: int, data: st.DataObject) -> None:
    whole = NAMECOIN_FULL[height]
    auxpow, _ = read_auxpow(whole, HEADER_SIZE)
    unread = range(auxpow.coinbase.end, auxpow.coinbase.end + 32)  # the hash of the parent block
    index_at = unread.stop + 1 + 32 * len(auxpow.to_parent.siblings)
    spared = (*unread, *range(index_at, index_at + 4))
    at = data.draw(st.integers(0, len(whole) - 1).filter(lambda at: at not in spared))
    spoilt = bytearray(whole)
    spoilt[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadHeader):
        read_proven_header(bytes(spoilt), 0, NAMECOIN)


@pytest.mark.parametrize("height", FULL)
def test_a_header_of_doichain_is_none_of_namecoin(height: int) -> None:
    with pytest.raises(BadHeader, match=r"chain id 2 is not ours|easier than the network allows"):
        read_proven_header(FULL[height], 0, NAMECOIN)


@pytest.mark.parametrize("height", MERGED)
def test_work_for_namecoin_adds_nothing_to_doichain(height: int) -> None:
    """Doichain is not strict about chain ids, so a stranger's proof is judged, and counts for nothing."""
    header, _ = read_proven_header(NAMECOIN_FULL[height], 0, DOICHAIN)
    assert added_work(header, DOICHAIN) == 0


def test_a_coinbase_without_an_output_is_a_proof_where_the_target_is_allowed() -> None:
    with pytest.raises(BadHeader, match="easier than the network allows"):
        read_proven_header(NAMECOIN_WITHOUT_OUTPUT, 0, NAMECOIN)
    easier = replace(NAMECOIN, pow_limit=(1 << 228) - 1)
    header, end = read_proven_header(NAMECOIN_WITHOUT_OUTPUT, 0, easier)
    assert (end, header.is_merge_mined) == (len(NAMECOIN_WITHOUT_OUTPUT), True)


def test_the_two_recorded_headers_of_one_interval_have_the_same_bits() -> None:
    """19 204 and 19 414 lie between the retargets at 18 144 and 20 160; the pow limit is the easiest they may have."""
    first, second = (parse_header(NAMECOIN_FULL[height][:HEADER_SIZE]) for height in (19_204, 19_414))
    assert first.bits == second.bits == expected_bits(NAMECOIN, 19_414, second.time, lambda _: (first.time, first.bits))
    assert target_of(first.bits) < NAMECOIN.pow_limit
    assert bits_of(NAMECOIN.pow_limit) == 0x1D00FFFF


def test_since_merge_mining_a_retarget_looks_one_block_further_back() -> None:
    assert [lookback(NAMECOIN, height) for height in (18_144, 19_414, 20_160)] == [2016, 1, 2017]


def test_a_slow_interval_makes_it_easier_by_what_it_took_and_at_most_four_times() -> None:
    bits = parse_header(NAMECOIN_FULL[19_414][:HEADER_SIZE]).bits
    planned = 2016 * 600

    def after(taken: int) -> int:
        past = {20_159: (1_318_900_000, bits), 18_143: (1_318_900_000 - taken, bits)}
        return expected_bits(NAMECOIN, 20_160, 0, past.__getitem__)

    assert after(planned) == bits
    assert after(2 * planned) == bits_of(2 * target_of(bits))
    assert after(9 * planned) == bits_of(4 * target_of(bits))
    assert after(1) == bits_of(target_of(bits) // 4)


@pytest.mark.parametrize("height", MERGED)
def test_a_recorded_header_is_joined_backwards_by_hash(height: int) -> None:
    whole = NAMECOIN_FULL[height]
    header = parse_header(whole[:HEADER_SIZE])
    assert ancestors(whole, 1, header.block_hash) == ancestors(whole[:HEADER_SIZE], 1, header.block_hash) == [header]


def test_no_block_is_built_in_so_a_checkpoint_must_be_named() -> None:
    with pytest.raises(BadCheckpoint, match="no block of namecoin is built in"):
        with_checkpoint(NAMECOIN, None)
    block = parse_header(NAMECOIN_FULL[37_174][:HEADER_SIZE])
    network = with_checkpoint(NAMECOIN, PinnedBlock(37_174, block.block_hash))
    heights = anchor_heights(network)
    assert heights == range(36_287, 37_175), "down to what the retarget at 38 304 looks back to"
    with pytest.raises(BadHeader, match="1 headers instead of"):
        start_chain(network, NAMECOIN_FULL[37_174])


def test_its_addresses() -> None:
    script = Script(b"\x00\x14" + bytes(range(20)))
    address = script_to_address(script, NAMECOIN)
    assert address is not None
    assert address.startswith("nc1")
    assert address_to_script(address, NAMECOIN) == script
    with pytest.raises(BadAddress, match="an address of namecoin"):
        address_to_script(address, DOICHAIN)
    assert NETWORKS["namecoin"] is NAMECOIN
