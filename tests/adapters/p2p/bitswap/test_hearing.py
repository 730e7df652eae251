"""The rank of peers: the worth of an answer, a silence and a broken promise."""

from pinning_worker.adapters.p2p.bitswap.hearing import MOST_PEERS, Hearing, Rank
from pinning_worker.domain.identities import PeerId

PEER = PeerId("a")


def test_who_was_silent_is_cleared_by_any_word() -> None:
    hearing = Hearing()
    assert hearing.rank(PEER) is Rank.UNKNOWN
    hearing.kept_silent(PEER, promised=False)
    assert hearing.rank(PEER) is Rank.SILENT
    hearing.promised(PEER)
    assert hearing.rank(PEER) is Rank.UNKNOWN


def test_a_broken_promise_is_cleared_by_a_block_and_not_by_another_promise() -> None:
    hearing = Hearing()
    hearing.kept_silent(PEER, promised=True)
    hearing.promised(PEER)
    hearing.kept_silent(PEER, promised=False)
    assert hearing.rank(PEER) is Rank.BROKE_ITS_WORD
    hearing.gave(PEER)
    assert hearing.rank(PEER) is Rank.GAVE
    hearing.refused(PEER)
    assert hearing.rank(PEER) is Rank.GAVE, "that it has not everything is no fault"


def test_a_crowd_of_the_silent_is_forgotten_from_its_oldest_on() -> None:
    hearing = Hearing()
    for number in range(MOST_PEERS + 1):
        hearing.kept_silent(PeerId(str(number)), promised=False)
    assert [hearing.is_silent(PeerId(str(number))) for number in (0, 1, MOST_PEERS)] == [False, True, True]
