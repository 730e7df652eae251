"""Unread bytes: who is told of room, who has waited longest, who loses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.p2p.bounds.stream_window import StreamWindow
from pinning_worker.adapters.p2p.bounds.unread import Backlog, Held, to_give_up

KIB = 1024


def lying(count: int, since: float) -> Backlog:
    backlog = Backlog()
    backlog.received(count, since)
    return backlog


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300))), st.integers(2, 256))
def test_a_sender_never_has_more_than_the_window_and_never_stands_still(
    turns: list[tuple[int, int]], window: int
) -> None:
    may_send, unread = window, 0
    for wants_to_send, wants_to_read in turns:
        sent = min(wants_to_send, may_send)
        may_send, unread = may_send - sent, unread + sent
        unread -= min(wants_to_read, unread)
        may_send += StreamWindow(window, window, 0.0).credit(may_send + unread)
        assert may_send + unread <= window
        assert unread or may_send


def test_a_backlog_waits_since_what_lies_in_it_came() -> None:
    backlog = lying(100, since=1.0)
    backlog.received(50, 2.0)
    assert (backlog.unread, backlog.since) == (150, 1.0)
    backlog.was_read(150, 3.0)
    backlog.received(10, 9.0)
    assert (backlog.unread, backlog.since) == (10, 9.0)


def test_a_few_bytes_read_of_many_make_it_no_younger() -> None:
    backlog = lying(100 * KIB, since=1.0)
    backlog.was_read(1, 2.0)
    for second in range(3, 100):
        backlog.was_read(32, second)
        backlog.received(32, second)
    assert backlog.since == 1.0


def test_reading_through_all_of_it_does() -> None:
    backlog = lying(100, since=1.0)
    backlog.was_read(1, 2.0)
    backlog.received(100, 3.0)
    backlog.was_read(99, 4.0)
    assert (backlog.unread, backlog.since) == (100, 4.0)


def test_the_longest_unread_lose_until_an_eighth_is_free() -> None:
    waiting = [("new", lying(40, 3.0)), ("old", lying(30, 1.0)), ("empty", Backlog()), ("middle", lying(40, 2.0))]
    assert to_give_up(waiting, most=110) == []
    assert to_give_up(waiting, most=100) == ["old"]
    assert to_give_up(waiting, most=80) == ["old", "middle"]
    assert to_give_up(waiting, most=0) == ["old", "middle", "new"]


def test_what_one_holds_is_part_of_what_all_hold() -> None:
    everything = Held()
    one, other = Held(everything), Held(everything)
    one.add(10)
    other.add(5)
    one.set(3)
    assert (one.bytes, other.bytes, everything.bytes) == (3, 5, 8)
