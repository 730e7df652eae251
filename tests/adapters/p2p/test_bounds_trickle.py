"""Bytes that count as progress of an unfinished block."""

from pinning_worker.adapters.p2p.bounds.trickle import GRACE_SECONDS, LONE_SECONDS, MOST, SLOWEST, Trickle
from pinning_worker.domain.identities import PeerId

PEER = PeerId("a")


def test_a_slow_line_is_progress_until_its_block_is_whole() -> None:
    trickle = Trickle()
    assert all(trickle.received(PEER, 50_000, float(second)) for second in range(20))
    assert trickle.unfinished == 1_000_000
    trickle.ended(PEER)
    assert trickle.unfinished == 0


def test_what_never_becomes_a_block_is_progress_no_more() -> None:
    trickle = Trickle()
    counted = 0
    while trickle.received(PeerId("liar"), 50_000, counted / 50_000):
        counted += 50_000
    assert counted == MOST // 50_000 * 50_000
    assert trickle.received(PeerId("honest"), 50_000, counted / 50_000), "each has a measure of its own"


def test_a_drop_now_and_then_is_no_progress() -> None:
    trickle = Trickle()
    assert trickle.received(PEER, 1, GRACE_SECONDS)
    assert not trickle.received(PEER, 1, 2 * GRACE_SECONDS + 1)
    assert trickle.received(PEER, int(SLOWEST * GRACE_SECONDS), 2 * GRACE_SECONDS + 1)


def test_for_a_while_nobody_else_need_be_asked() -> None:
    trickle = Trickle()
    trickle.received(PEER, 50_000, 5.0)
    assert trickle.is_lone(PEER, 5.0 + LONE_SECONDS)
    assert not trickle.is_lone(PEER, 6.0 + LONE_SECONDS)
    trickle.ended(PEER)
    assert trickle.is_lone(PEER, 7.0 + LONE_SECONDS)
