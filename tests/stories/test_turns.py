"""Who gives up a place, and when: told as whose fetches run, who waits, and at what second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.pin import Asker, Request, State
from pinning_worker.steps.fair_share import PAID_FOR, Served, Waiting
from pinning_worker.steps.turns import Places, Turn

START = datetime(2026, 11, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def turn(peer: str, since: float, *, blocks: int = 0, moved: float | None = None) -> Turn:
    return Turn(Asker("bafy", None, 1, PeerId(peer)).share, at(since), at(since if moved is None else moved), blocks)


def waiting(*peers: str) -> list[Request]:
    asked = [(Asker("bafy", None, 1, PeerId(peer)), number) for number, peer in enumerate(peers)]
    return [Request(Root(b"waits %d" % n), State.REQUESTED, START, askers=(asker,)) for asker, n in asked]


def ended(turns: list[Turn], waits: list[Request], second: float) -> tuple[list[int], float | None]:
    """Which are over, and at what second to look again."""
    places = Places(len(turns), {Root(b"%d" % n): each for n, each in enumerate(turns)}, timedelta(seconds=30))
    moment = places.end_turns(Waiting([], waits), Served(), at(second))
    over = [n for n, each in enumerate(turns) if each.is_over]
    return over, (moment - START).total_seconds() if moment else None


def test_nobody_waits_nobody_leaves() -> None:
    assert ended([turn("a", 0), turn("a", 0)], [], 29) == ([], None)


def test_of_the_busiest_one_that_has_brought_nothing_leaves_when_it_had_its_chance() -> None:
    turns = [turn("a", 0, blocks=3, moved=2), turn("a", 0), turn("b", 0), turn("c", 0)]
    assert ended(turns, waiting("new"), 4) == ([], 5)
    assert ended(turns, waiting("new"), 5) == ([1], None)
    assert ended(turns, waiting("new"), 6) == ([1], None), "its place serves who waits"


def test_a_long_fetch_is_not_ended_while_others_have_more_places() -> None:
    turns = [turn("uploads", 0, blocks=50, moved=99), turn("a", 98), turn("a", 98), turn("b", 98)]
    assert ended(turns, waiting("new"), 100) == ([], 103)
    assert ended(turns, waiting("new"), 103) == ([1], None)


def test_among_those_who_have_one_place_each_a_long_fetch_has_three_minutes() -> None:
    turns = [turn(peer, 0, blocks=50, moved=170) for peer in ("a", "b")]
    assert ended(turns, waiting("new"), 170) == ([], 180)
    assert ended(turns, waiting("new"), 180) == ([0], None)


def test_who_gives_blocks_now_and_then_has_a_minute_if_it_has_more_than_others() -> None:
    turns = [turn("a", 0, blocks=9, moved=50), turn("a", 0, blocks=9, moved=59)]
    assert ended(turns, waiting("new"), 59) == ([], 60)
    assert ended(turns, waiting("new"), 60) == ([0], None)


def test_what_was_paid_for_keeps_its_place() -> None:
    owed = [Turn(PAID_FOR, at(0), at(0)) for _ in range(2)]
    assert ended(owed, waiting("new"), 1_000) == ([], None)
