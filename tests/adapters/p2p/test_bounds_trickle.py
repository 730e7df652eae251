"""What counts as progress of an unfinished block."""

from pinning_worker.adapters.p2p.bounds.trickle import GRACE, LONE, MOST, SLOWEST, Trickle


def test_a_slow_line_is_progress_until_its_block_is_whole() -> None:
    trickle = Trickle()
    assert all(trickle.came("a", 50_000, float(second)) for second in range(20))
    assert trickle.unfinished == 1_000_000
    trickle.ended("a")
    assert trickle.unfinished == 0


def test_what_never_becomes_a_block_is_progress_no_more() -> None:
    trickle = Trickle()
    counted = 0
    while trickle.came("liar", 50_000, counted / 50_000):
        counted += 50_000
    assert counted == MOST // 50_000 * 50_000
    assert trickle.came("honest", 50_000, counted / 50_000), "each has a measure of its own"


def test_a_drop_now_and_then_is_no_progress() -> None:
    trickle = Trickle()
    assert trickle.came("a", 1, GRACE)
    assert not trickle.came("a", 1, 2 * GRACE + 1)
    assert trickle.came("a", int(SLOWEST * GRACE), 2 * GRACE + 1)


def test_for_a_while_nobody_else_need_be_asked() -> None:
    trickle = Trickle()
    trickle.came("a", 50_000, 5.0)
    assert trickle.is_lone("a", 5.0 + LONE)
    assert not trickle.is_lone("a", 6.0 + LONE)
    trickle.ended("a")
    assert trickle.is_lone("a", 7.0 + LONE)
