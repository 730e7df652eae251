"""Penalty points: they add up, fade, and end in a ban that ends."""

from pinning_worker.adapters.p2p.bitswap.conduct import (
    BAN_AT,
    BAN_SECONDS,
    FADES_PER_SECOND,
    MOST_PEERS,
    Conduct,
    Fault,
)
from pinning_worker.domain.identities import PeerId

PEER = PeerId("p")


def test_garbage_again_and_again_is_a_ban_for_a_while() -> None:
    conduct = Conduct()
    needed = -(-int(BAN_AT) // Fault.BAD_MESSAGE)
    assert [conduct.blame(PEER, Fault.BAD_MESSAGE, 0) for _ in range(needed)] == [*[False] * (needed - 1), True]
    assert conduct.banned(PEER, BAN_SECONDS - 1)
    assert not conduct.banned(PEER, BAN_SECONDS)
    assert not conduct.banned(PeerId("other"), 0)
    assert conduct.faults[Fault.BAD_MESSAGE] == needed


def test_a_slip_now_and_then_fades() -> None:
    conduct = Conduct()
    apart = Fault.BAD_MESSAGE / FADES_PER_SECOND
    assert not any(conduct.blame(PEER, Fault.BAD_MESSAGE, now=n * apart) for n in range(100))


def test_many_names_do_not_fill_the_memory() -> None:
    conduct = Conduct()
    for number in range(MOST_PEERS + 10):
        conduct.blame(PeerId(str(number)), Fault.FLOOD, 0)
    assert len(conduct._records) == MOST_PEERS
