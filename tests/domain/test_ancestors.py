"""A known block's hash commits to its past: whatever a server sends instead is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.ancestors import ancestors
from pinning_worker.domain.chain.auxpow import read_auxpow
from pinning_worker.domain.chain.headers import HEADER_SIZE, BadHeader, Header, parse_header
from tests.mining import REGTEST_GENESIS, merge_mine, mine
from tests.recorded import CONTEXT, FULL


def past(count: int) -> list[bytes]:
    """Headers with their AuxPow, every second one merge-mined."""
    made, previous = [], REGTEST_GENESIS
    for at in range(count):
        made.append(merge_mine(previous) if at % 2 else mine(previous))
        previous = parse_header(made[-1][:HEADER_SIZE])
    return made


PAST = past(10)
LAST = parse_header(PAST[-1][:HEADER_SIZE]).block_hash
CUT = [data[:HEADER_SIZE] for data in PAST]


def raw(headers: list[Header]) -> list[bytes]:
    return [header.raw for header in headers]


@pytest.mark.parametrize("form", [PAST, CUT], ids=["whole", "cut"])
def test_the_past_comes_whole_or_cut(form: list[bytes]) -> None:
    assert raw(ancestors(b"".join(form), len(form), LAST)) == CUT
    assert raw(ancestors(form[-1], 1, LAST)) == CUT[-1:]


def test_the_real_context_joins_the_anchor() -> None:
    anchor = parse_header(CONTEXT[-1])
    assert raw(ancestors(b"".join(CONTEXT), len(CONTEXT), anchor.block_hash)) == CONTEXT
    real = [FULL[height] for height in (431_016, 431_017, 431_018)]
    split = parse_header(real[-1][:HEADER_SIZE]).block_hash
    assert raw(ancestors(b"".join(real), 3, split)) == [data[:HEADER_SIZE] for data in real]


@pytest.mark.parametrize("form", [PAST, CUT], ids=["whole", "cut"])
@given(data=st.data())
def test_no_byte_of_a_header_can_be_changed(form: list[bytes], data: st.DataObject) -> None:
    at, byte = data.draw(st.integers(0, len(form) - 1)), data.draw(st.integers(0, HEADER_SIZE - 1))
    spoilt = bytearray(form[at])
    spoilt[byte] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadHeader):
        ancestors(b"".join([*form[:at], bytes(spoilt), *form[at + 1 :]]), len(form), LAST)


@pytest.mark.parametrize("form", [PAST, CUT], ids=["whole", "cut"])
@given(order=st.permutations(range(10)), count=st.integers(0, 10), extra=st.binary(max_size=200))
def test_nothing_but_the_true_past_is_taken(form: list[bytes], order: list[int], count: int, extra: bytes) -> None:
    sent = b"".join(form[at] for at in order[:count]) + extra
    if sent == b"".join(form):
        return
    with pytest.raises(BadHeader):
        ancestors(sent, len(form), LAST)


def test_a_proof_is_skipped_and_never_judged() -> None:
    """Catches: an old block whose proof no rule of today takes would stop the past for good."""
    spoilt = bytearray(PAST[-1])
    parent_at = len(spoilt) - HEADER_SIZE
    spoilt[parent_at:] = bytes(HEADER_SIZE)
    assert read_auxpow(bytes(spoilt), HEADER_SIZE)[0].parent == bytes(HEADER_SIZE)
    assert raw(ancestors(b"".join([*PAST[:-1], bytes(spoilt)]), len(PAST), LAST)) == CUT
