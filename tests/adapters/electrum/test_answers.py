"""Whatever JSON a server sends, a reader gives the value that it is for, or says that the server misbehaved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.electrum import answers
from pinning_worker.adapters.electrum.answers import HistoryRow, ShownBranch
from pinning_worker.adapters.electrum.faults import ServerMisbehaved
from pinning_worker.domain.identities import Txid
from tests.mining import REGTEST_GENESIS

TXID, OTHER = Txid("ab" * 32), Txid("cd" * 32)
HEADER = REGTEST_GENESIS.raw.hex()

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([TXID, HEADER, "00"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["hex", "height", "tx_hash", "merkle", "pos", "count", "x"]), inner)
    ),
    max_leaves=12,
)

READERS: list[Callable[[object], Any]] = [
    answers.read_tip,
    answers.read_headers,
    answers.read_block_hash,
    answers.read_genesis_hash,
    answers.read_status,
    answers.read_history,
    answers.read_branch,
    answers.read_leaf,
    answers.read_txid,
    lambda answer: trio.run(answers.read_transaction_of, TXID, answer),
]


@pytest.mark.parametrize("read", READERS)
@given(JSON)
def test_any_json_is_read_or_refused(read: Callable[[object], Any], answer: object) -> None:
    with contextlib.suppress(ServerMisbehaved):
        read(answer)


def test_a_history() -> None:
    rows = [
        {"tx_hash": TXID, "height": 0, "fee": 1},
        {"tx_hash": OTHER, "height": -1},
        {"tx_hash": TXID, "height": 7},
    ]
    assert answers.read_history(rows) == [HistoryRow(TXID, 7), HistoryRow(OTHER, -1)]
    assert answers.read_history([]) == []


@pytest.mark.parametrize("height", [-2, 1 << 31, 1.0, "1", True, None])
def test_a_height_that_is_none(height: object) -> None:
    with pytest.raises(ServerMisbehaved):
        answers.read_history([{"tx_hash": TXID, "height": height}])


@pytest.mark.parametrize("txid", [TXID.upper(), TXID[:-2], TXID + "00", " " + TXID[1:], 17, None])
def test_a_txid_that_is_none(txid: object) -> None:
    with pytest.raises(ServerMisbehaved):
        answers.read_txid(txid)


def test_a_tip_and_its_header() -> None:
    shown = answers.read_tip({"height": 0, "hex": HEADER + "ff"})
    assert (shown.height, shown.header, shown.data) == (0, REGTEST_GENESIS, REGTEST_GENESIS.raw + b"\xff")
    assert answers.read_block_hash(HEADER + "ff") == REGTEST_GENESIS.hash[::-1].hex()


def test_a_branch() -> None:
    assert answers.read_branch({"merkle": [TXID], "pos": 1, "block_height": 4}) == ShownBranch((TXID,), 1)
