"""The chain of verified headers: what may follow what, and which of two chains is ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinning_worker.domain.chain.anchor import WrongCheckpoint, anchor_heights, resume_chain, start_chain
from pinning_worker.domain.chain.difficulty import DIGISHIELD_LOOKBACK, expected_bits, target_of, work_of
from pinning_worker.domain.chain.headerchain import MOST_AHEAD_SECONDS, FromTheFuture, HeaderChain, Overtaken
from pinning_worker.domain.chain.headers import HEADER_SIZE, BadHeader, Header, parse_header
from pinning_worker.domain.chain.networks import (
    DOICHAIN,
    DOICHAIN_REGTEST,
    DOICHAIN_TEST,
    Anchor,
    BadCheckpoint,
    DigiShield,
    Network,
    PinnedBlock,
    Retarget2016,
    starting_lower,
    with_checkpoint,
)
from tests.mining import LATER, REGTEST_GENESIS, MergeMining, merge_mine, mine, mine_many, own_network, without_work

BITS = 0x2000FFFF  # one hash in 256


def regtest_chain(blocks: int) -> HeaderChain:
    chain = start_chain(DOICHAIN_REGTEST, REGTEST_GENESIS.raw)
    grow(chain, 0, mine_many(REGTEST_GENESIS, blocks))
    return chain


def grow(chain: HeaderChain, fork_height: int, headers: list[Header]) -> int | None:
    branch = chain.branch(fork_height)
    branch.extend(joined(headers), now=LATER)
    return chain.adopt(branch)


def joined(headers: list[Header]) -> bytes:
    return b"".join(header.raw for header in headers)


def require_refused(chain: HeaderChain, data: bytes, reason: str) -> None:
    with pytest.raises(BadHeader, match=reason):
        chain.branch(chain.tip_height).extend(data, now=LATER)


def test_a_chain_from_genesis_tells_its_tip() -> None:
    chain = regtest_chain(20)
    tip, last = chain.tip(), chain.header_at(20)
    assert (tip.height, tip.hash) == (20, last.hash[::-1].hex())
    assert tip.time == datetime.fromtimestamp(last.time, UTC)
    assert tip.median_time == datetime.fromtimestamp(chain.header_at(15).time, UTC)  # of 10 to 20
    assert chain.work == 21 * work_of(REGTEST_GENESIS.bits)
    assert chain.hash_at(0) == DOICHAIN_REGTEST.genesis_hash
    assert chain.hash_at(21) is None


def test_the_median_time_of_a_young_chain_is_of_the_headers_there_are() -> None:
    chain = regtest_chain(1)
    assert chain.tip().median_time == datetime.fromtimestamp(chain.header_at(1).time, UTC)


def test_merge_mined_headers_follow_plain_ones() -> None:
    chain = regtest_chain(3)
    branch = chain.branch(3)
    first = merge_mine(chain.header_at(3))
    branch.extend(first + mine(parse_header(first[:HEADER_SIZE])), now=LATER)
    assert chain.adopt(branch) == 4
    assert chain.tip_height == 5
    assert chain.header_at(4).is_merge_mined


def test_a_header_must_follow_the_one_before() -> None:
    chain = regtest_chain(3)
    require_refused(chain, mine(chain.header_at(2)), "does not follow")


def test_a_header_without_retarget_keeps_the_difficulty() -> None:
    network, genesis = own_network(bits=BITS)
    chain = start_chain(network, genesis.raw)
    require_refused(chain, mine(genesis, network=network, bits=0x2000FFFE), "wrong difficulty")
    require_refused(chain, mine(genesis, network=network, bits=0x207FFFFF), "easier than the network allows")


def test_a_header_must_be_later_than_the_median_of_the_last_eleven() -> None:
    chain = regtest_chain(20)
    median = chain.header_at(15).time
    require_refused(chain, mine(chain.header_at(20), time=median), "older")
    chain.branch(20).extend(mine(chain.header_at(20), time=median + 1), now=LATER)


def test_merge_mining_begins_at_its_height() -> None:
    network = replace(DOICHAIN_REGTEST, auxpow_from_height=3)
    chain = start_chain(network, REGTEST_GENESIS.raw)
    require_refused(chain, merge_mine(REGTEST_GENESIS), "too early")


def test_a_liar_without_work_is_refused() -> None:
    chain = regtest_chain(3)
    fields = mine(chain.header_at(3))[:76]
    require_refused(chain, without_work(fields, target_of(REGTEST_GENESIS.bits)), "does not meet the target")
    require_refused(chain, merge_mine(chain.header_at(3), MergeMining(work=False)), "does not meet the target")


def test_the_split_block_is_pinned() -> None:
    dead, living = (mine_many(REGTEST_GENESIS, 5, salt=salt) for salt in (1, 2))
    network = replace(DOICHAIN_REGTEST, split_block=PinnedBlock(4, living[3].hash[::-1].hex()))
    chain = start_chain(network, REGTEST_GENESIS.raw)
    require_refused(chain, joined(dead), "at 4 is not the living chain's")
    assert grow(chain, 0, living) == 1


# --- difficulty


def mine_to(network: Network, genesis: Header, count: int, spacing: list[int], bits: list[int]) -> list[Header]:
    headers = [genesis]
    for height in range(1, count + 1):
        time = headers[-1].time + spacing[height % len(spacing)]
        headers.append(parse_header(mine(headers[-1], network=network, bits=bits[height // 16], time=time)))
    return headers


@pytest.fixture(scope="module")
def retargeted() -> tuple[Network, list[Header]]:
    """48 blocks of a network that retargets every 16, spaced so that looking back 15, 16 or 17 blocks is not the same.

    The expected bits are worked out here by hand: the target times the seconds taken over 16 times 600, never easier
    than the limit and cut to its upper 16 bits.
    """
    network, genesis = own_network(bits=BITS, difficulty=Retarget2016(16))
    spacing = [100, 300, 500, 200, 900, 100, 700]
    limit = target_of(BITS)
    first = sum(spacing[h % 7] for h in range(1, 16))  # heights 0 to 15: there is no height before genesis
    second = sum(spacing[h % 7] for h in range(16, 32))  # heights 15 to 31
    third = sum(spacing[h % 7] for h in range(32, 48))  # heights 31 to 47
    bits = [BITS]
    for taken in (first, second, third):
        bits.append(top_bits(min(target_of(bits[-1]) * max(taken, 2400) // 9600, limit)))
    assert len(set(bits)) == 4
    return network, mine_to(network, genesis, 48, spacing, bits)


def top_bits(target: int) -> int:
    size = (target.bit_length() + 8) // 8
    return size << 24 | target >> 8 * (size - 3)


def test_retargets_follow_the_time_that_an_interval_took(retargeted: tuple[Network, list[Header]]) -> None:
    network, headers = retargeted
    chain = start_chain(network, headers[0].raw)
    assert grow(chain, 0, headers[1:]) == 1
    assert chain.work == sum(work_of(header.bits) for header in headers)


@pytest.mark.parametrize("height", [16, 32, 48])
def test_the_old_difficulty_is_refused_at_a_retarget(height: int, retargeted: tuple[Network, list[Header]]) -> None:
    network, headers = retargeted
    chain = start_chain(network, headers[0].raw)
    grow(chain, 0, headers[1:height])
    stubborn = mine(headers[height - 1], network=network, time=headers[height].time)
    require_refused(chain, stubborn, f"at {height} has a wrong difficulty")


def test_a_retarget_within_a_branch_looks_at_the_branch(retargeted: tuple[Network, list[Header]]) -> None:
    network, headers = retargeted
    chain = start_chain(network, headers[0].raw)
    branch = chain.branch(0)
    for header in headers[1:]:
        branch.extend(header.raw, now=LATER)  # one by one, as small answers come
    assert chain.adopt(branch) == 1


# --- anchors


def test_mainnets_anchor_needs_28_headers() -> None:
    assert anchor_heights(DOICHAIN) == range(431_396, 431_424)
    assert anchor_heights(DOICHAIN_REGTEST) == range(1)


def test_a_chain_from_a_checkpoint_judges_the_next_retarget(retargeted: tuple[Network, list[Header]]) -> None:
    network, headers = retargeted
    row = replace(network, anchor=Anchor(20, headers[20].hash[::-1].hex()))
    heights = anchor_heights(row)
    assert heights == range(10, 21)  # 15 for the retarget at 32, 10 for the median
    chain = start_chain(row, joined(headers[10:21]))
    assert (chain.base_height, chain.tip_height) == (10, 20)
    assert grow(chain, 20, headers[21:]) == 21
    assert chain.work == sum(work_of(header.bits) for header in headers[10:])
    with pytest.raises(IndexError):
        chain.branch(9)


def test_an_anchor_that_does_not_lead_to_the_checkpoint(retargeted: tuple[Network, list[Header]]) -> None:
    network, headers = retargeted
    row = replace(network, anchor=Anchor(20, headers[20].hash[::-1].hex()))
    lie = parse_header(mine(headers[13], network=network, time=headers[14].time + 1))
    for wrong in (headers[9:20], headers[11:21], [*headers[10:14], lie, *headers[15:21]], headers[10:22], []):
        with pytest.raises(BadHeader):
            start_chain(row, joined(wrong))


def test_another_genesis_is_refused() -> None:
    with pytest.raises(BadHeader, match="another chain"):
        start_chain(DOICHAIN_REGTEST, mine(REGTEST_GENESIS))


# --- an operator's checkpoint


def pinned(chain: HeaderChain, height: int) -> PinnedBlock:
    block_hash = chain.hash_at(height)
    assert block_hash is not None
    return PinnedBlock(height, block_hash)


def test_a_new_chain_starts_at_the_checkpoint_and_no_fork_goes_below_it() -> None:
    living = regtest_chain(30)
    row = with_checkpoint(DOICHAIN_REGTEST, pinned(living, 20))
    chain = start_chain(row, living.raw_from(0)[10 * HEADER_SIZE : 21 * HEADER_SIZE])
    assert (chain.base_height, chain.tip_height, chain.floor) == (10, 20, 20)
    assert grow(chain, 20, [living.header_at(height) for height in range(21, 31)]) == 21
    assert chain.tip() == living.tip()


def test_a_stored_chain_with_the_checkpoint_in_it_goes_on() -> None:
    living = regtest_chain(30)
    row = with_checkpoint(DOICHAIN_REGTEST, pinned(living, 20))
    again = resume_chain(row, 0, living.raw_from(0), living.tip().hash)
    assert (again.base_height, again.floor) == (0, 20)


def test_a_stored_chain_with_another_block_at_the_checkpoint_stops_the_start() -> None:
    """Not thrown away: one of the two is wrong, and only the operator knows which."""
    living, checkpoint = regtest_chain(30), PinnedBlock(20, "ab" * 32)
    with pytest.raises(WrongCheckpoint, match=r"abab.* at 20, and the chain .* has"):
        resume_chain(with_checkpoint(DOICHAIN_REGTEST, checkpoint), 0, living.raw_from(0), living.tip().hash)


def test_a_stored_chain_that_began_above_the_anchor_is_not_used() -> None:
    """The checkpoint was taken away: nothing links what stands above it to the row's own anchor."""
    living = regtest_chain(30)
    with pytest.raises(BadHeader, match="does not contain the anchor at 0"):
        resume_chain(DOICHAIN_REGTEST, 10, living.raw_from(10), living.tip().hash)


def test_a_chain_without_the_block_of_the_checkpoint_is_refused() -> None:
    living = regtest_chain(10)
    row = starting_lower(DOICHAIN_REGTEST, PinnedBlock(5, "ab" * 32), needed_from=3)
    chain = start_chain(row, REGTEST_GENESIS.raw)
    assert chain.floor == 0
    require_refused(chain, living.raw_from(1), "at 5 is not the living chain's")


def test_a_branch_that_began_below_a_checkpoint_which_the_chain_has_reached_since_is_overtaken() -> None:
    living = regtest_chain(12)
    row = starting_lower(DOICHAIN_REGTEST, pinned(living, 8), needed_from=3)
    chain = start_chain(row, REGTEST_GENESIS.raw)
    rival = chain.branch(0)
    rival.extend(joined(mine_many(REGTEST_GENESIS, 7, salt=3)), now=LATER)
    rival.work = 1 << 64  # heavier than anything, and it ends below the checkpoint
    assert grow(chain, 0, [living.header_at(height) for height in range(1, 13)]) == 1
    with pytest.raises(Overtaken):
        chain.adopt(rival)


def test_what_is_known_of_older_blocks_lets_a_new_chain_start_below_the_checkpoint() -> None:
    checkpoint = PinnedBlock(440_000, "ab" * 32)
    assert with_checkpoint(DOICHAIN, checkpoint).anchor == Anchor(440_000, "ab" * 32)
    older = starting_lower(DOICHAIN, checkpoint, needed_from=439_900)
    assert (older.anchor, older.checkpoint) == (DOICHAIN.anchor, checkpoint)
    with pytest.raises(BadCheckpoint, match="from block 439900 on"):
        starting_lower(DOICHAIN_TEST, checkpoint, needed_from=439_900)


@pytest.mark.parametrize(("network", "height"), [(DOICHAIN, 431_423), (DOICHAIN_TEST, 299_999), (DOICHAIN_REGTEST, 0)])
def test_a_checkpoint_where_nothing_can_be_verified_from(network: Network, height: int) -> None:
    with pytest.raises(BadCheckpoint, match=f"must be at {height + 1} or above"):
        with_checkpoint(network, PinnedBlock(height, "ab" * 32))
    assert with_checkpoint(network, PinnedBlock(height + 1, "ab" * 32)).checkpoint is not None


def test_testnet_asks_for_a_checkpoint() -> None:
    with pytest.raises(BadCheckpoint, match="is not set, and no block of doichain-test is built in"):
        with_checkpoint(DOICHAIN_TEST, None)


# --- difficulty of every block


SHIELDED, SHIELDED_GENESIS = own_network(bits=BITS, difficulty=DigiShield(fork_height=1, reset_bits=BITS))


def mine_shielded(chain: HeaderChain, count: int, spacing: int, bits: int | None = None) -> list[Header]:
    """Headers as the rule wants them (or all of those bits), each `spacing` seconds after the one before."""
    headers = [chain.header_at(height) for height in range(chain.tip_height + 1)]
    for height in range(chain.tip_height + 1, chain.tip_height + 1 + count):
        time = headers[-1].time + spacing
        due = expected_bits(SHIELDED, height, time, lambda below: (headers[below].time, headers[below].bits))
        headers.append(parse_header(mine(headers[-1], network=SHIELDED, bits=bits or due, time=time)))
    return headers[chain.tip_height + 1 :]


def shielded_chain(spacing: int) -> HeaderChain:
    chain = start_chain(SHIELDED, SHIELDED_GENESIS.raw)
    grow(chain, 0, mine_shielded(chain, DIGISHIELD_LOOKBACK + 52, spacing))
    return chain


def test_fast_blocks_become_harder_one_by_one() -> None:
    chain = shielded_chain(spacing=60)
    targets = [target_of(chain.header_at(height).bits) for height in range(DIGISHIELD_LOOKBACK + 1, 81)]
    assert targets == sorted(targets, reverse=True)
    assert len(set(targets)) > 10
    require_refused(chain, joined(mine_shielded(chain, 1, 60, bits=BITS)), "at 81 has a wrong difficulty")


def test_a_late_block_may_be_easier_and_only_a_late_one() -> None:
    chain = shielded_chain(spacing=60)
    (late,) = mine_shielded(chain, 1, 3601)
    (in_time,) = mine_shielded(chain, 1, 3600)
    assert target_of(late.bits) > 3 * target_of(in_time.bits)
    chain.branch(80).extend(late.raw, now=LATER)
    require_refused(chain, joined(mine_shielded(chain, 1, 3600, bits=late.bits)), "wrong difficulty")


# --- time that has not come


def test_a_header_of_the_future_waits_and_what_stands_before_it_counts() -> None:
    """The regtest header 50 years ahead that sold a term until 2077. It is nobody's lie: its time may come."""
    chain = regtest_chain(3)
    first, ahead, after = mine_many(chain.header_at(3), 3)
    now = ahead.time - MOST_AHEAD_SECONDS - 1
    branch = chain.branch(3)
    with pytest.raises(FromTheFuture, match="block 5 is dated") as waits:
        branch.extend(joined([first, ahead, after]), now=now)
    assert waits.value.height == 5
    assert chain.adopt(branch) == 4
    assert chain.tip_height == 4
    chain.branch(4).extend(ahead.raw, now=now + 1)


def test_a_lie_about_the_future_is_a_lie() -> None:
    chain = regtest_chain(3)
    unworked = without_work(mine(chain.header_at(3), time=LATER)[:76], target_of(REGTEST_GENESIS.bits))
    with pytest.raises(BadHeader, match="does not meet the target"):
        chain.branch(3).extend(unworked, now=0)


# --- work that is counted once


def test_a_foreign_chain_id_is_taken_and_adds_no_work() -> None:
    """Where ids are not strict, one parent may prove a header for each id: with their own places in its tree of chains
    256 headers were had for the work of one, and replaced everything back to the anchor."""
    network = replace(DOICHAIN_REGTEST, auxpow_strict=False)
    foreign = replace(network, auxpow_chain_id=7)
    chain = start_chain(network, REGTEST_GENESIS.raw)
    before = chain.work
    branch = chain.branch(0)
    branch.extend(merge_mine(REGTEST_GENESIS, MergeMining(network=foreign)), now=LATER)
    assert (branch.tip_height, branch.work) == (1, before)
    assert chain.adopt(branch) is None
    last = parse_header(bytes(branch.headers[-HEADER_SIZE:]))
    branch.extend(merge_mine(last, MergeMining(network=network)), now=LATER)
    assert chain.adopt(branch) == 1, "what others built on it is not lost"
    assert (chain.tip_height, chain.work) == (2, before + work_of(last.bits))
    again = resume_chain(network, 0, chain.raw_from(0), chain.tip().hash)
    assert (again.work, again.work_at(1)) == (chain.work, before)


def test_more_headers_than_were_asked_for_are_refused() -> None:
    chain = regtest_chain(3)
    more = joined(mine_many(chain.header_at(3), 3))
    chain.branch(3).extend(more, now=LATER, most=3)
    with pytest.raises(BadHeader, match="more headers than were asked for"):
        chain.branch(3).extend(more, now=LATER, most=2)


# --- which chain is ours


def test_a_longer_branch_replaces_ours_from_where_they_part() -> None:
    chain = regtest_chain(10)
    rival = mine_many(chain.header_at(6), 5, salt=2)
    assert grow(chain, 6, rival) == 7
    assert chain.tip().hash == rival[-1].hash[::-1].hex()
    assert chain.work == 12 * work_of(REGTEST_GENESIS.bits)


def test_of_equal_chains_the_first_one_stays() -> None:
    chain = regtest_chain(10)
    before = chain.tip()
    assert grow(chain, 6, mine_many(chain.header_at(6), 4, salt=2)) is None
    assert chain.tip() == before


def test_a_branch_that_repeats_our_headers_differs_where_it_differs() -> None:
    chain = regtest_chain(10)
    ours = [chain.header_at(height) for height in range(4, 9)]
    assert grow(chain, 3, [*ours, *mine_many(ours[-1], 3, salt=2)]) == 9


def test_more_work_wins_over_more_blocks(retargeted: tuple[Network, list[Header]]) -> None:
    """Ours has five blocks at a quarter of the limit; a rival of seven easy ones has less work."""
    network, genesis = own_network(bits=BITS, difficulty=Retarget2016(16))
    fast = mine_to(network, genesis, 15, [150], [BITS])
    slow = mine_to(network, genesis, 15, [600], [BITS])
    harder = top_bits(target_of(BITS) * 2400 // 9600)
    # 15 intervals are looked at, so 15 * 600 of 9600 seconds: a little harder than the limit, too.
    easier = top_bits(target_of(BITS) * 9000 // 9600)
    ours, rival = fast, slow
    for headers, bits, count in ((ours, harder, 5), (rival, easier, 7)):
        for _ in range(count):
            headers.append(parse_header(mine(headers[-1], network=network, bits=bits)))
    chain = start_chain(network, genesis.raw)
    assert grow(chain, 0, rival[1:]) == 1
    assert chain.tip_height == 22
    assert grow(chain, 0, ours[1:]) == 1
    assert chain.tip_height == 20
    assert grow(chain, 0, rival[1:]) is None


def test_a_branch_whose_root_was_replaced_is_overtaken() -> None:
    chain = regtest_chain(10)
    late = chain.branch(10)
    rival = mine_many(chain.header_at(10), 3)
    grow(chain, 6, mine_many(chain.header_at(6), 5, salt=2))
    with pytest.raises(Overtaken):
        late.extend(joined(rival), now=LATER)
    with pytest.raises(Overtaken):
        chain.adopt(late)


# --- after a restart


def test_a_stored_chain_is_taken_up_where_it_stood() -> None:
    chain = regtest_chain(30)
    again = resume_chain(DOICHAIN_REGTEST, 0, chain.raw_from(0), chain.tip().hash)
    assert (again.tip(), again.work, again.base_height) == (chain.tip(), chain.work, 0)
    assert grow(again, 30, mine_many(again.header_at(30), 1)) == 31


STORED = regtest_chain(12)


@settings(max_examples=50)
@given(st.integers(min_value=0, max_value=13 * HEADER_SIZE - 1), st.integers(min_value=1, max_value=255))
def test_a_stored_chain_with_any_byte_changed_is_refused(at: int, mask: int) -> None:
    raw = bytearray(STORED.raw_from(0))
    raw[at] ^= mask
    with pytest.raises(BadHeader):
        resume_chain(DOICHAIN_REGTEST, 0, bytes(raw), STORED.tip().hash)


@given(st.integers(min_value=0, max_value=13 * HEADER_SIZE - 1))
def test_a_stored_chain_cut_off_anywhere_is_refused(size: int) -> None:
    with pytest.raises(BadHeader):
        resume_chain(DOICHAIN_REGTEST, 0, STORED.raw_from(0)[:size], STORED.tip().hash)
