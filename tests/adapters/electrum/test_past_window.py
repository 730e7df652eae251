"""Pieces of the past are taken, lost and finished in any order; blocks leave from the top down, each once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.electrum.past_window import MOST_OPS, OVERDUE_SECONDS, WIDEST, PastWindow
from pinning_worker.domain.chain.headers import Header
from pinning_worker.domain.chain.nameop import NameOp, NameOpCode
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.ports.chain import NameOpAt
from tests.mining import REGTEST_GENESIS, mine_many

CHAIN = [REGTEST_GENESIS, *mine_many(REGTEST_GENESIS, 60)]
OP = NameOpAt(Txid("aa"), 0, 0, 1, NameOp(NameOpCode.NAME_DOI, NameBytes(b"n"), b"", Script(b"")))


def top_at(height: int) -> PastWindow:
    return PastWindow(height, CHAIN[height].block_hash)


def ops_of(headers: dict[int, Header]) -> dict[int, tuple[NameOpAt, ...]]:
    return dict.fromkeys(headers, (OP,))


@given(data=st.data())
def test_whatever_happens_every_block_leaves_once_and_in_order(data: st.DataObject) -> None:
    window, taken, left = top_at(60), list[dict[int, Header]](), list[int]()
    for _ in range(data.draw(st.integers(0, 60))):
        match data.draw(st.sampled_from(["link", "take", "finish", "lose", "leave"])):
            case "link" if not window.is_wide:
                height, block_hash = window.lowest
                assert CHAIN[height].block_hash == block_hash
                window.link(height, CHAIN[max(1, height - data.draw(st.integers(1, 20))) : height])
            case "take":
                piece = window.take(data.draw(st.integers(1, 10)), 0.0)
                assert not any(height in other for other in taken for height in piece)
                assert all(CHAIN[height] == header for height, header in piece.items())
                if piece:
                    taken.append(piece)
            case "finish" if taken:
                window.store(ops_of(taken.pop(data.draw(st.integers(0, len(taken) - 1)))))
            case "lose" if taken:
                window.put_back(taken.pop(data.draw(st.integers(0, len(taken) - 1))))
            case "leave":
                ready = [height for height, _, _ in window.ready()]
                kept = ready[: data.draw(st.integers(0, len(ready)))]
                if kept:
                    assert window.move_down(kept[-1], CHAIN[kept[-1]].block_hash)
                left += kept
            case _:
                pass
    for piece in taken:
        window.put_back(piece)
    while not window.is_done:
        if not window.is_wide:
            height, _ = window.lowest
            window.link(height, CHAIN[1:height])
        window.store(ops_of(window.take(7, 0.0)))
        for height, header, ops in list(window.ready()):
            assert (header, ops) == (CHAIN[height], (OP,))
            assert window.move_down(height, header.block_hash)
            left.append(height)
    assert left == list(range(59, 0, -1))


def test_the_highest_free_blocks_are_read_first() -> None:
    window = top_at(60)
    window.link(60, CHAIN[40:60])
    first, second = window.take(5, 0.0), window.take(5, 0.0)
    assert (list(first), list(second)) == ([59, 58, 57, 56, 55], [54, 53, 52, 51, 50])
    window.put_back(first)
    assert list(window.take(6, 0.0)) == [59, 58, 57, 56, 55, 49]


def test_nothing_is_ready_before_the_block_above_it() -> None:
    window = top_at(60)
    window.link(60, CHAIN[40:60])
    first, second = window.take(5, 0.0), window.take(5, 0.0)
    window.store(ops_of(second))
    assert list(window.ready()) == []
    window.store(ops_of(first))
    assert [height for height, _, _ in window.ready()] == list(range(59, 49, -1))


def test_it_says_the_same_until_it_is_told_to_move_down() -> None:
    window = top_at(60)
    window.link(60, CHAIN[50:60])
    window.store(ops_of(window.take(3, 0.0)))
    assert list(window.ready()) == list(window.ready())
    assert window.move_down(60, CHAIN[60].block_hash)
    assert window.move_down(58, CHAIN[58].block_hash)
    assert [height for height, _, _ in window.ready()] == [57]
    assert not window.move_down(56, "ff" * 32)
    assert not window.move_down(59, CHAIN[59].block_hash), "it was handed on"


def test_headers_that_came_second_are_left() -> None:
    window = top_at(60)
    window.link(60, CHAIN[50:60])
    window.link(60, CHAIN[45:60])
    assert window.lowest == (50, CHAIN[50].block_hash)


def test_names_that_wait_are_bounded_and_the_next_block_is_always_read() -> None:
    window = top_at(60)
    window.link(60, CHAIN[40:60])
    lost, heavy = window.take(2, 0.0), window.take(2, 0.0)
    window.store(dict.fromkeys(heavy, (OP,) * MOST_OPS))
    assert window.take(5, 0.0) == {}, "59 and 58 are being read"
    window.put_back(lost)
    assert list(window.take(5, 0.0)) == [59], "the rest waits for it"
    assert len(CHAIN) < WIDEST


def test_blocks_that_somebody_reads_for_too_long_are_taken_over() -> None:
    window = top_at(60)
    window.link(60, CHAIN[50:60])
    slow = window.take(3, 0.0)
    rest = window.take(20, 100.0)
    assert window.take_over(5, OVERDUE_SECONDS - 1) == {}
    assert list(window.take_over(2, OVERDUE_SECONDS)) == [59, 58]
    assert list(window.take_over(2, OVERDUE_SECONDS)) == [57], "the others are being read anew"
    window.store(ops_of(rest))
    window.store({59: (OP,), 58: (OP,)})
    assert [height for height, _, _ in window.ready()] == [59, 58]
    window.store(ops_of(slow))
    assert [height for height, _, _ in window.ready()] == list(range(59, 49, -1))
    window.put_back(slow)
    assert window.take(9, 300.0) == {}
